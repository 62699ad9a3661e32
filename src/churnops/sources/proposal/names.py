r"""What a column's name says it holds: regular expressions over `plain` names, the surest first.

English and German, with the commonest words of a few neighbours; a name in another language says nothing.
"""

import re
import unicodedata
from collections.abc import Sequence

_PERSON = (
    "customer|cust|consumer|client|cliente|kunden?|klant|household|hh|member|mitglieds?|user|account|acct|konto"
    "|debitor|debtor|klient|klienta|clienti|abonne|abonnent|utente|usuario|socio|acheteur|comprador"
    "|subscriber|buyer|shopper|patron|player|guest|visitor|person|contact|donor|card|loyalty_card|msisdn"
)
_ID = "id|no|nr|num|number|nummer|numer|numero|cod|codigo|codice|key|code|uuid|guid|hash|ref"
_PURCHASE = (
    "purchase|order|transaction|trans|txn|trx|invoice|sales?|event|basket|receipt|bon|beleg|booking|visit"
    "|bestell(?:ung|ungs)?|kauf|rechnungs?|auftrags?|checkout|cart|payment|ticket|bill|billing"
)
_WHEN = "date|time|datetime|timestamp|ts|day|dt|at|on|datum|zeit|zeitpunkt|tag|fecha|moment"

CUSTOMER_ID = (
    rf"^(unique_)?({_PERSON})_?((unique|hashed|anonymous)_)?({_ID})$|^({_ID})_({_PERSON})$",
    rf"^(msno|clientnum|uid|cid)$|^({_PERSON})$",
    rf"(^|_)({_PERSON})_({_ID})$",
    r"(^|_)e_?mail(_?(address|adresse|id|hash))?$",
    rf"^(subscription|contract|policy|vertrags?|patient|student|employee|device|phone)_?({_ID})$|^phone$",
    r"^id$|^index$",
)
ORDER_ID = (
    rf"^({_PURCHASE})_?({_ID})$|^({_ID})_({_PURCHASE})$",
    r"^(order|invoice|basket|transaction|receipt|ticket|bon|beleg|cart)$",
    rf"(^|_)({_PURCHASE})_({_ID})$",
)
THING_ID = (
    r"(^|_)(product|item|article|artikel|sku|stock|store|shop|filiale|seller|supplier|vendor|brand|category|campaign"
    r"|coupon|employee|staff|cashier|department|week|line|row)(_|$)",
)
"""Names of ids that are not a customer's."""
TIME = (
    rf"(^|_)({_WHEN}|month|monat|period|yyyymm|since|seit|from|until|start|end|birth|dob|created)(_|$)"
    r"|(date|time|datum|timestamp)$",
)
EVENT_TIME = (
    rf"^(({_PURCHASE})_?){{1,2}}({_WHEN})(_?({_WHEN}|utc|gmt|local))?$",
    rf"^({_WHEN})(_?({_WHEN}|utc|gmt|local))?$|^({_WHEN})_of_",
    rf"^(created|erstellt)(_?({_WHEN}))?$",
    rf"(^|_)({_WHEN}|month|monat|period)$",
)
OTHER_TIME = (
    r"birth|dob|geburt|deliver|liefer|shipp|versand|(^|_)(due|end|until|valid|last|prev)|expir|updat|modif|edit"
    r"|cancel|storn|return|refund|approv|paid|fulfil|sign_?up|regist|join|estimat|limit",
)
"""Names of times that are not when a purchase happened."""
KNOWN_AT = (
    r"(^|_)(load|ingest|known|record|insert|import|sync|etl|dwh|available|arriv|post(ed|ing)?_)",
    r"^created",
)
SNAPSHOT_TIME = (
    r"snapshot|(^|_)as_of|observ|stichtag|cut_?off|reference_(date|month)|report(ing)?_(date|month|period)",
    r"^(month|monat|period|week|quarter|year_month|yyyymm|date|datum)(_(start|end|id|date))?$",
)
"""Names of when a row of a labelled table was true."""

AMOUNT = (
    r"^((line|item|net|gross|order|transaction|purchase|payment|sales?|invoice|basket|total|actual|dollar|bill)_?)?"
    r"(amount|amt|total|value|revenue|sales?|spend|spent|paid|betrag|umsatz|summe|gmv|montant|importe|importo|bedrag"
    r"|kwota|valor|turnover)"
    r"(_(paid|usd|eur|gbp|value|amount|price|sales|spent))?$",
    r"amount|betrag|umsatz|revenue|spend|spent|summe|total|gesamt|montant|importe|importo|bedrag|kwota|valor|paid|charge",
    r"(^|_)(value|wert|sales?|usd|eur|gbp|price|preis|prix|precio)($|_)",
)
NOT_AMOUNT = (
    r"disc|rabatt|nachlass|(^|_)(tax|taxes|vat|mwst|steuer|tip|fee|unit|cost|qty|id)($|_)|shipp|versand|freight"
    r"|refund|balance|saldo|einzel|stuck|stueck|quant|menge|anzahl|count|items|points|punkte|percent|rate|margin"
    r"|profit|instal|outstanding|weight|lifetime|previous|prior|churn",
)
UNIT_PRICE = (
    r"^(unit|item|line_?item|einzel|stuck|stueck|product|sale|sales|selling|list)_?(price|preis)$",
    r"^(price|preis|prix|precio)(_each|_per_unit|_per_item|_usd|_eur|_gbp)?$",
)
QUANTITY = (
    r"^(line_?item_|order_|item_|product_|sales_)?(quantity|qty|units|menge|anzahl|stuckzahl|stueckzahl|pieces)"
    r"(_(ordered|sold|purchased))?$|^(units|pieces|items)_(sold|ordered)$",
    r"^(number|num|no|n)_(of_)?\w+$|^count$|^items$|(^|_)(quantity|qty)($|_)",
)
DISCOUNT = (
    r"^(discount|disc|rabatt|nachlass)(_(amount|amt|value|betrag))?$",
    r"disc(ount)?($|_)|rabatt|nachlass|markdown",
)
NO_MONEY = (r"percent|pct|prozent|rate|ratio|share|code|type|name|reason",)
"""Names of what tells of a discount but is not its amount."""
CATEGORY = (
    r"(^|_)(category|categories|kategorie|warengruppe)(_(name|id|code))?$",
    r"(^|_)(department|dept|abteilung|aisle|section)(_(name|id|code))?$",
    r"(^|_)(product|item|artikel|produkt)_?(type|group|line|family|class|gruppe)($|_)|sub_?category|genre",
    r"(^|_)(brand|marke|manufacturer|vendor)($|_)",
    r"(^|_)(stock_?code|sku|article|artikel|product|produkt|item|plan)(_?(id|code|no|nr|number|name))?$",
    r"^(line_?item_name|description|beschreibung|bezeichnung)$",
)
STATUS = (
    r"cancel|(^|_)void|storn|annul",
    r"status|state$|zustand",
    r"^(event|action|transaction|order|record)_?(type|name)?$|^type$",
)

LABEL = (
    r"^(is_|has_|customer_)?churn(ed|er)?(_?(flag|label|value|status|yn|ind(icator)?))?$",
    r"^(is_|has_|will_|customer_)?(exited|attrition|attrited|left|lapsed|lost|cancell?ed|terminated|quit|defected"
    r"|gekundigt|gekuendigt|abgewandert|kundigung|kuendigung|inactive|closed|departed|unsubscribed|resigned"
    r"|dropout|dropped_out|abandono|resilie|opgezegd)"
    r"(_?(flag|label|value|status|customer|yn|ind(icator)?)|_(next|within|in|after|this|last)_\w+)?$",
    r"(^|_)(churn(ed|er)?|attrition|abwanderung)($|_)",
    r"(^|_)(customer|account|subscription|member|membership|contract|client|kunden|vertrags?)_?status$|^status$",
    r"^(is_|has_)?(not_)?(active|aktiv|retained|renewed|stayed|loyal|current)"
    r"(_?(flag|status|customer|member|user|yn))?$",
    r"^(target|label|y|class|outcome|response)$",
)
OF_A_CUSTOMER = (r"churn|attrit|exited|lapsed|defect|abwander|dropout|(customer|member|kunden)_",)
"""Names of labels that say it of a customer, where others may say it of a purchase."""
_GONE = (
    r"(^|_)(churn|left|exit|attrit|lost|inactiv|inaktiv|cancel|close|laps|gone|quit|terminat|expir|former|depart"
    r"|resign|defect|dormant|unsubscrib|gekundigt|gekuendigt|kundig|kuendig|abgewandert|ehemalig|beendet|stopped"
    r"|abandon|discontinu|dropout|dropped)"
)
_HERE = (
    r"(^|_)(stay|retain|activ|aktiv|exist|current|loyal|renew|open|bestand|join|new$|subscrib|paying|remain|kept"
    r"|laufend|live|ongoing|enrolled|in_force)"
)
_NOT = r"(^|_)(not|no|non|never|nicht|kein|keine|didnt)_"

ABOUT_LEAVING = (
    r"churn|attrition|abwander|kundig|kuendig|(cancel|terminat|exit|leav)\w*_(reason|date|at|on|day|month)",
)
"""Names of what is only known once somebody has left, or of somebody else's guess at it."""
SUMMARY = (
    r"(^|_)(last|latest|letzte\w*)_(?!name)|(^|_)(lifetime|ltv|cltv|clv|rfm)(_|$)|^(recency|frequency|monetary)"
    r"|(^|_)(total|cumulative|avg|average|mean)_(order|purchase|spen|basket|sales|revenue|transaction|amount|umsatz)"
    r"|(^|_)(num|number|n|count|anzahl)_(of_)?(order|purchase|transaction|bestell|invoice|visit|item|return)"
    r"|(order|purchase|transaction|bestell\w*|visit)s?_?(count|total|anzahl)"
    r"|(^|_)(updated|modified|deleted|closed)(_|$)",
)
"""Names of what sums up a customer's purchases, or is the customer's latest state."""
TEXT = (
    r"name|address|adresse|strasse|street|comment|note|description|remark|message|e_?mail|phone|telefon|url|feedback",
)
CODE = (
    rf"(^|_)(zip|zip_?code|plz|postal|postleitzahl|postcode|pincode|area_?code|{_ID}|city|state|region|country|branch"
    r"|filiale|store|shop|gender|geschlecht|sex|marital|marriage|type|via|channel|class|group|segment|category|plan)($|_)",
)
"""Names whose numbers are codes: one is not more than another."""
COUNT = (
    r"^(num|number|no|n|count|anzahl|total|avg|average|days|months|years)_|(num|number|no|anzahl)_of_"
    r"|(^|_)(count|total|score|rate|ratio|days|months|years|tier|level|rank|rating|grade|stage|size)($|_)",
)
"""Names whose numbers are more or less of something, whatever else is in the name."""


def plain(name: str) -> str:
    """In small letters without accents, words joined by `_`: `CustomerID` is `customer_id`."""
    spelt = name.replace("%", " percent ").replace("#", " number ").replace("ß", "ss")
    folded = "".join(c for c in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(c))
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", folded)
    return re.sub(r"[\W_]+", "_", apart.lower()).strip("_")


def rank(name: str, patterns: Sequence[str]) -> int:
    """How surely `name` says what `patterns` do: their number for the first, 1 for the last, 0 for none."""
    words = plain(name)
    found = (len(patterns) - i for i, pattern in enumerate(patterns) if re.search(pattern, words))
    return next(found, 0)


def says_gone(text: str) -> bool | None:
    """Whether a name or a word means that a customer left; None if it says neither that nor the opposite."""
    words = plain(text)
    gone, here = bool(re.search(_GONE, words)), bool(re.search(_HERE, words))
    if not gone and not here:
        return None
    return gone != bool(re.search(_NOT, words))
