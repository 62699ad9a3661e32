"""What SageMaker is asked for, and what its answers become."""

from pathlib import Path

import boto3
import pytest
import tomlkit
from aws_model import SERVICE, faults
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from moto import mock_aws

from churnops.cloud.aws import Aws, connect, told
from churnops.cloud.s3 import upload
from churnops.cloud.sagemaker import Job, follow, job_name, request_of, submit
from churnops.cloud.settings import Machines, SageMaker, read_sagemaker
from churnops.errors import CloudError, ConfigError
from churnops.training.recipe import Recipe, fields_of

SETTINGS = SageMaker(
    role="arn:aws:iam::123456789012:role/churnops-training",
    bucket="s3://lake/churnops",
    images={"torch": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/churnops:torch"},
    tags={"project": "churnops"},
)
GUARDED = {
    "subnets": ("subnet-0123",),
    "security_groups": ("sg-0123",),
    "kms_key": "arn:aws:kms:eu-central-1:123456789012:key/a",
    "shards": True,
    "input_mode": "FastFile",
}
JOB = Job(
    name="churnops-demo-torch-0123456789ab",
    image=SETTINGS.images["torch"],
    machines=Machines(instances=2),
    hyperparameters={"framework": "torch", **fields_of(Recipe())},
    channels={span: f"s3://lake/churnops/datasets/a/{span}" for span in ("train", "validation", "test")},
)
REQUEST = request_of(JOB, SETTINGS)


@pytest.fixture
def aws():
    with mock_aws():
        clients = [boto3.client(name, region_name="eu-central-1") for name in ("s3", "sagemaker", "logs")]
        yield Aws(*clients)


@pytest.mark.parametrize("changed", [{}, GUARDED, {"tags": {}}], ids=["plain", "guarded", "no tags"])
@pytest.mark.parametrize("spot", [False, True])
def test_aws_would_take_the_request(changed, spot):
    settings = SETTINGS.model_copy(update=changed)
    job = Job(**{**vars(JOB), "machines": Machines(instances=2, spot=spot)})

    assert faults("CreateTrainingJob", request_of(job, settings)) == []


def test_the_check_of_a_request_can_fail():
    assert (
        len(faults("CreateTrainingJob", {**REQUEST, "TrainingJobName": "no_underscores", "RoleArn": "me"}))
        > 1
    )


def test_what_guards_a_job_is_asked_for():
    asked = request_of(
        Job(**{**vars(JOB), "machines": Machines(instances=2, spot=True)}),
        SETTINGS.model_copy(update=GUARDED),
    )

    assert asked["EnableNetworkIsolation"]
    assert asked["EnableInterContainerTrafficEncryption"]
    assert asked["VpcConfig"] == {"Subnets": ["subnet-0123"], "SecurityGroupIds": ["sg-0123"]}
    assert (
        asked["ResourceConfig"]["VolumeKmsKeyId"]
        == asked["OutputDataConfig"]["KmsKeyId"]
        == GUARDED["kms_key"]
    )
    assert (
        asked["StoppingCondition"]["MaxWaitTimeInSeconds"]
        >= asked["StoppingCondition"]["MaxRuntimeInSeconds"]
    )
    assert {
        one["DataSource"]["S3DataSource"]["S3DataDistributionType"] for one in asked["InputDataConfig"]
    } == {"ShardedByS3Key"}


def test_disks_that_have_a_key_of_their_own_are_given_none():
    settings = SETTINGS.model_copy(update=GUARDED)
    given = {
        instance_type.split(".")[1]
        for instance_type in SERVICE.shape_for("TrainingInstanceType").enum
        if "VolumeKmsKeyId"
        not in request_of(Job(**{**vars(JOB), "machines": Machines(instance_type=instance_type)}), settings)[
            "ResourceConfig"
        ]
    }

    assert given >= {"g4dn", "g5", "g6e", "p3dn", "p4d", "p5", "p6-b200", "trn1", "r5d"}
    assert not given & {"m4", "m5", "m6i", "m7i-flex", "c5n", "c5", "r5", "t3", "p2", "p3"}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("role", "arn:aws:iam::123456789012:role/a b", "role: String should match"),
        ("images", {"torch": ""}, "images.torch: String should match"),
        ("images", {"jax": "a"}, "images.jax.[key]: String should match pattern '^(torch|tensorflow)$'"),
        ("kms_key", "my key", "kms_key: String should match"),
        ("security_groups", ("default",), "security_groups.0: String should match"),
        ("tags", {"cost#": "a"}, "tags.cost#.[key]: String should match"),
        ("max_hours", 0.0, "max_hours: Input should be greater than or equal to 0.1"),
        ("role", "me", "role: String should match"),
        ("bucket", "lake", "bucket: String should match"),
        ("subnets", ("subnet-1",), "a VPC needs both"),
        ("max_wait_hours", 1.0, "max_wait_hours is below max_hours"),
        ("imags", {}, "imags: Extra inputs"),
    ],
)
def test_a_wrong_setting_is_named(field, value, says, tmp_path):
    written = tomlkit.dumps({**SETTINGS.model_dump(), field: value})
    (tmp_path / "sagemaker.toml").write_text(written)

    with pytest.raises(ConfigError) as raised:
        read_sagemaker(tmp_path / "sagemaker.toml")

    assert str(tmp_path / "sagemaker.toml") in str(raised.value)
    assert says in str(raised.value)


def test_the_example_can_be_read():
    assert read_sagemaker(Path(__file__).parents[2] / "configs/sagemaker.toml").images.keys() == {
        "torch",
        "tensorflow",
    }


def test_names_are_such_as_sagemaker_takes():
    name = job_name(
        "churnops", "ein_sehr_langer_Name_für_eine_Konfiguration_mit_allem", "tensorflow", "0123456789ab"
    )

    assert len(name) <= 60  # which leaves room for an attempt's number
    assert faults("CreateTrainingJob", {**REQUEST, "TrainingJobName": name}) == []
    assert name.endswith("-0123456789ab")


def nobody(*_):
    """Told nothing of interest."""


def test_a_job_that_is_there_is_taken_up_and_not_started_again(aws):
    assert submit(REQUEST, aws, nobody) == JOB.name
    leave_model(aws, JOB.name)
    assert submit(REQUEST, aws, nobody) == JOB.name

    assert len(aws.sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 1


def test_a_job_that_is_done_but_whose_model_is_gone_is_begun_anew(aws):
    told_of = []
    submit(REQUEST, aws, nobody)
    key = leave_model(aws, JOB.name)
    aws.s3.delete_object(Bucket="lake", Key=key)

    assert submit(REQUEST, aws, lambda *said: told_of.append(said)) == f"{JOB.name}-2"

    assert told_of == [(JOB.name, f"is done, but s3://lake/{key} is gone: a new attempt")]


def leave_model(aws, name):
    """Where the job says that its model is; the key of that."""
    address = aws.sagemaker.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"]
    aws.s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    key = address.removeprefix("s3://lake/")
    aws.s3.put_object(Bucket="lake", Key=key, Body=b"a model")
    return key


def test_a_job_started_in_the_meantime_is_taken_up(aws):
    in_use = ("ResourceInUse", "Training job names must be unique within an AWS account and region.")

    assert submit(REQUEST, stubbed(aws, UNKNOWN, ("create_training_job", in_use)), nobody) == JOB.name


def stubbed(aws, *answers):
    """The clients, SageMaker's with these answers in place of any other."""
    stub = Stubber(aws.sagemaker)
    for operation, answer in answers:
        if isinstance(answer, dict):
            stub.add_response(operation, answer)
        else:
            stub.add_client_error(operation, answer[0], answer[1])
    stub.activate()
    return aws


def described(status, secondary="Training", **more):
    return "describe_training_job", {
        "TrainingJobName": JOB.name,
        "TrainingJobArn": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/a",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://lake/a/model.tar.gz"},
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {},
        "CreationTime": 0,
        **more,
    }


UNKNOWN = ("describe_training_job", ("ValidationException", "Requested resource not found."))


def test_after_a_failed_attempt_the_next_has_a_number_and_the_same_checkpoints(aws):
    sent = []
    aws.sagemaker.meta.events.register(
        "provide-client-params.sagemaker.CreateTrainingJob", lambda params, **_: sent.append(params)
    )
    clients = stubbed(
        aws,
        described("Failed", "Failed"),
        UNKNOWN,
        (
            "create_training_job",
            {"TrainingJobArn": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/a"},
        ),
    )

    assert submit(REQUEST, clients, nobody) == f"{JOB.name}-2"
    assert sent[0]["CheckpointConfig"] == REQUEST["CheckpointConfig"]


def test_what_happens_is_told_until_the_job_is_done(aws):
    told_of, slept = [], []
    clients = stubbed(
        aws,
        described("InProgress", "Downloading"),
        UNKNOWN,
        described("InProgress"),
        described("Completed", "Completed"),
    )

    found = follow(JOB.name, clients, lambda *said: told_of.append(said), sleep=slept.append, poll_seconds=7)

    assert [what for _, what in told_of] == ["Downloading", "Training", "Completed"]
    assert slept == [7, 7]
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == "s3://lake/a/model.tar.gz"


@pytest.mark.parametrize(
    ("status", "reason"), [("Failed", "AlgorithmError: channel train: is empty"), ("Stopped", "")]
)
def test_a_job_that_failed_is_told_with_its_reason(aws, status, reason):
    clients = stubbed(
        aws, described(status, status, **({"FailureReason": reason} if reason else {})), UNKNOWN
    )

    with pytest.raises(CloudError, match=f"{status.lower()}: {reason or 'no reason was given'}") as raised:
        follow(JOB.name, clients, lambda *_: None, sleep=lambda _: None, poll_seconds=1)
    assert raised.value.exit_code == 6


@pytest.mark.parametrize(
    ("limit", "field"), [("MaxRuntimeExceeded", "max_hours"), ("MaxWaitTimeExceeded", "max_wait_hours")]
)
def test_a_job_that_ran_out_of_time_says_which_setting_to_raise(aws, limit, field):
    clients = stubbed(aws, described("Stopped", limit), UNKNOWN)

    with pytest.raises(CloudError, match=rf"stopped: it .* longer than {field}: raise that"):
        follow(JOB.name, clients, lambda *_: None, sleep=lambda _: None, poll_seconds=1)


def test_a_job_deleted_while_it_is_followed_is_told(aws):
    clients = stubbed(aws, described("InProgress"), UNKNOWN, UNKNOWN)

    with pytest.raises(CloudError, match=f"{JOB.name}: was deleted"):
        follow(JOB.name, clients, lambda *_: None, sleep=lambda _: None, poll_seconds=1)


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (
            "ValidationException",
            "Could not assume role arn:aws:iam::1:role/x",
            "look at role, images and bucket",
        ),
        (
            "AccessDeniedException",
            "User is not authorized to perform: sagemaker:CreateTrainingJob",
            "docs/sagemaker.md",
        ),
        ("ResourceLimitExceeded", "The account-level service limit is 0 Instances", "higher quota"),
        ("ExpiredTokenException", "The security token included in the request is expired", "sign in again"),
    ],
)
def test_what_aws_refuses_is_told_in_its_words_and_with_advice(aws, code, message, advice):
    clients = stubbed(aws, UNKNOWN, ("create_training_job", (code, message)))

    with pytest.raises(CloudError) as raised:
        submit(REQUEST, clients, nobody)

    assert f"starting the training job {JOB.name}: {message} ({code})" in str(raised.value)
    assert advice in str(raised.value)


def test_a_bucket_that_is_not_there_is_told(aws, tmp_path):
    (tmp_path / "a.parquet").touch()

    with pytest.raises(CloudError, match=r"uploading to s3://nobodys/a: .*\(NoSuchBucket\): look at bucket"):
        upload(tmp_path, "s3://nobodys/a", aws, lambda *_: None)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="https://a"), "is the network up"),
        # What S3 answers to a question for a file that is not there, from one who may not list the bucket.
        (
            ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject"),
            "the rights it takes",
        ),
    ],
)
def test_what_never_reaches_aws_is_told_too(error, advice):
    with pytest.raises(CloudError, match=rf"asking: .*{advice}"), told("asking"):
        raise error


@pytest.fixture
def own_environment(monkeypatch, tmp_path):
    """Nobody's profile and region, and credentials that are of no use."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.usefixtures("own_environment")
def test_the_region_is_that_of_the_environment(name, monkeypatch):
    monkeypatch.setenv(name, "eu-central-1")

    assert connect().sagemaker.meta.region_name == "eu-central-1"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "You must specify a region.*AWS_REGION"),
        ({"AWS_REGION": "eu central"}, "region"),
        ({"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "nowhere"}, "nowhere.*AWS_ENDPOINT_URL"),
        ({"AWS_PROFILE": "nobody"}, "nobody.*AWS_PROFILE"),
    ],
    ids=["no region", "no such region", "no URL", "no such profile"],
)
@pytest.mark.usefixtures("own_environment")
def test_a_wrong_environment_is_told_without_its_secrets(variables, says, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(CloudError, match=f"connecting to AWS: .*{says}") as raised:
        connect()
    assert "hush" not in str(raised.value)
