-- What wrk sends, and what it writes at the end: one line that `serving.py` reads.
wrk.method = "POST"
wrk.headers["Content-Type"] = os.getenv("MEDIA")
wrk.headers["Accept"] = os.getenv("ACCEPT")
local file = io.open(os.getenv("BODY"), "rb")
wrk.body = file:read("*a")
file:close()

local pause = tonumber(os.getenv("PAUSE_MS") or "0")
if pause > 0 then -- a connection asks again after a random while, `pause` on average
  function delay()
    return math.floor(-math.log(1 - math.random()) * pause)
  end
end

function done(summary, latency)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99)))
end
