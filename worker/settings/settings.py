"""The settings of every process, from PHOTOCHROM_* environment variables. Only this module reads the environment.

(boto3 reads the usual AWS_* variables itself.)
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, DirectoryPath, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.errors import UsageError
from worker.model.checkpoint import WITHOUT_MAP, bundled_checkpoint_path, checkpoint_folder, read_card
from worker.settings.model_options import CPU_BATCH_SIZE, DEFAULT_BATCH_WAIT_MILLISECONDS, ModelOptions
from worker.settings.validation import refuse_unknown, sentence, sqlite_file
from worker.storage import S3Options
from worker.system.machine import available_memory_bytes, fitting_children
from worker.system.mounts import network_share
from worker.system.temp_folders import usual_folder

# At most a week, which is longer than anything waits here.
Seconds = Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)]
PauseSeconds = Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)]


PREFIX = "PHOTOCHROM_"

LEAST_THREADS, MOST_THREADS = 4, 256  # of a child


def _in_flight_bytes(values: dict[str, Any]) -> int:
    """A gibibyte for each child; less if all children together would need more than half of the usable memory."""
    half = available_memory_bytes() // 2 // max(1, int(values.get("children", 1)))
    return max(64 << 20, min(1 << 30, half >> 20 << 20))


class Settings(BaseSettings):
    """One field is one variable: `lease_seconds` is PHOTOCHROM_LEASE_SECONDS."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    database_url: SecretStr | None = Field(
        None, description="The job database: postgresql://user:password@host/database or sqlite:////path/file.db."
    )
    broker_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Celery broker: redis://, rediss:// or amqp://."
    )
    queue: Annotated[str, Field(min_length=1)] = Field(
        "photochrom", description="Name of the Celery queue that carries chunks."
    )
    s3_endpoint_url: str | None = Field(None, description="S3 server's address; unset means AWS.")
    s3_attempts: Annotated[int, Field(ge=1)] = Field(
        4, description="How many times one S3 call is tried before the scan is tried again later."
    )
    s3_timeout_seconds: Seconds = Field(30.0, description="Longest wait for S3 to answer.")
    s3_requester_pays: bool = Field(False, description="Whether you pay for requests to buckets that ask for it.")
    s3_encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        None, description="Server-side encryption that outputs ask for; unset: the bucket's own."
    )
    s3_kms_key_id: str | None = Field(None, description="Key of aws:kms; unset: the account's default key.")
    s3_unsigned: bool = Field(
        False, description="Whether sources on S3 are read without credentials, as public buckets allow."
    )

    checkpoint: Annotated[Path, AfterValidator(checkpoint_folder)] | None = Field(
        None, description="Folder of a checkpoint, or the name of a bundled one; unset means `third`."
    )
    features: Literal["none"] | None = Field(
        None,
        description="`none`: exactly the paper's network, without a map of features; this is the bundled checkpoint "
        "`first`; unset: the checkpoint's own.",
    )
    embedding: str | None = Field(
        None,
        description="The embedding: inception_resnet_v2, compact, imagenet, or a file; unset: the card's.",
    )
    head: Literal["paper", "vivid"] | None = Field(
        None, description="The network's head: paper or vivid; unset means the checkpoint's own choice."
    )
    input_px: Annotated[int | None, Field(ge=64, le=400, multiple_of=8)] = Field(
        None,
        description="Side of the square that the network sees, in pixels; unset: the checkpoint's. Smaller is faster.",
    )
    precision: Literal["float32", "bfloat16", "int8"] | None = Field(
        None,
        description="What the network computes in: float32, bfloat16 or int8; unset: what is fastest here.",
    )
    devices: str | None = Field(
        None,
        description="GPUs, such as 0,1: a model server for each; -1: the CPU; unset: CUDA_VISIBLE_DEVICES or all GPUs.",
    )
    cuda_visible_devices: str | None = Field(
        None, validation_alias="CUDA_VISIBLE_DEVICES", description="Set by the system that assigns GPUs to processes."
    )
    batch_size: Annotated[int | None, Field(ge=1, le=1024)] = Field(
        None, description="Scans in one device batch; unset: 8 on a CPU, the fastest size on a GPU."
    )
    batch_wait_milliseconds: PauseSeconds = Field(
        DEFAULT_BATCH_WAIT_MILLISECONDS,
        description="Longest wait for a batch to fill while more scans may come.",
    )
    stand_in_model_milliseconds: PauseSeconds | None = Field(
        None, description="For tests and benchmarks: a stub in place of the model, which takes this long for a batch."
    )

    worker_name: str | None = Field(None, description="Set by `photochrom worker` for its own processes.")
    runtime_folder: Path | None = Field(None, description="Set by `photochrom worker` for its own processes.")

    children: Annotated[int, Field(ge=1, le=1024)] = Field(
        default_factory=fitting_children, description="Celery children of one worker."
    )
    model_servers: Annotated[int, Field(ge=1)] = Field(1, description="Set by `photochrom worker` for its children.")
    threads_per_child: Annotated[int | None, Field(ge=1, le=256)] = Field(
        None,
        description="Scans that one child works on at once; unset: twice the batch size over all children, at least 4.",
    )
    in_flight_bytes: Annotated[int, Field(ge=1)] = Field(
        default_factory=_in_flight_bytes,
        description="Decoded bytes of scans that one child holds at once; a larger scan is worked on alone.",
    )
    max_scan_bytes: Annotated[int, Field(ge=1)] = Field(4 << 30, description="A larger file is refused: too_large.")
    max_scan_pixels: Annotated[int, Field(ge=1)] = Field(
        1_000_000_000,
        description="A scan with more pixels in all its pages is refused before it is decoded: too_large.",
    )
    max_scan_pages: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1_000, description="A TIFF with more pages is refused: too_large."
    )
    model_timeout_seconds: Seconds = Field(
        120.0, description="Longest wait for a prediction, including a restart of the model server."
    )
    find_film_borders: bool = Field(
        True,
        description="Whether workers look for the borders of film scans, hide them from the model, and leave them "
        "neutral.",
    )
    digital_source_type: Annotated[str, Field(min_length=1)] = Field(
        "compositeWithTrainedAlgorithmicMedia",
        description="The digital source type that outputs name in their metadata: an IPTC NewsCode, or a URI.",
    )
    scratch_folder: DirectoryPath = Field(
        default_factory=usual_folder, description="Folder for scans while they are worked on."
    )

    chunk_scans: Annotated[int, Field(ge=1, le=10_000)] = Field(64, description="Scans in one chunk.")
    lease_seconds: Seconds = Field(
        120.0, description="A chunk whose worker has recorded nothing for this long goes to another worker."
    )
    record_seconds: Seconds = Field(
        2.0,
        description="Longest time between two records of a chunk. A record also extends the lease, and sees whether "
        "the job is paused or cancelled.",
    )
    chunk_attempts: Annotated[int, Field(ge=1)] = Field(
        3, description="Leases that a chunk may lose before its scans fail as worker_killed."
    )
    scan_attempts: Annotated[int, Field(ge=1)] = Field(
        6, description="How many times a scan is tried when its error may pass."
    )
    outage_attempts: Annotated[int, Field(ge=1)] = Field(
        10,
        description="How many times a scan is tried while a store, credentials, a disk or a model server fails.",
    )
    retry_pause_seconds: PauseSeconds = Field(
        15.0, description="Pause before a scan's second attempt; doubled for each further one."
    )
    longest_retry_pause_seconds: PauseSeconds = Field(
        900.0, description="The longest pause between two attempts of a scan."
    )
    soft_time_limit_seconds: Annotated[int, Field(ge=1)] = Field(
        3_000, description="A child that has worked on a chunk for this long hands the rest back."
    )
    hard_time_limit_seconds: Annotated[int, Field(ge=1)] = Field(
        3_300, description="A child that has worked on a chunk for this long is killed."
    )
    visibility_timeout_seconds: Annotated[int, Field(ge=1)] = Field(
        3_600, description="Redis delivers a message again after this long if no worker has acknowledged it."
    )
    drain_seconds: Annotated[float, Field(ge=8, le=86_400)] = Field(
        25.0, description="A worker that is told to stop ends within this time; unfinished scans go to others."
    )

    model_batch_seconds: Seconds = Field(
        60.0, description="A model server that takes longer for one batch is killed and started again."
    )
    c2pa_certificate: Path | None = Field(
        None, description="A PEM file, the signer's certificate first: every output carries a signed C2PA manifest."
    )
    c2pa_key: Path | None = Field(None, description="A PEM file (PKCS#8): the private key of the certificate.")
    c2pa_sign_command: str | None = Field(
        None,
        description="Instead of a key: a command that signs standard input (es256: r, s).",
    )
    c2pa_algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = Field(
        "es256", description="The signature algorithm of the key."
    )
    c2pa_timestamp_url: str | None = Field(None, description="Address of an RFC 3161 time-stamp service; unset: none.")
    c2pa_max_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        256 << 20,
        description="Larger outputs are not signed, and their rows say so.",
    )
    stop_notice: str | None = Field(
        None,
        description="Where a worker learns that its machine will be taken away, and drains: aws, gcp, a URL or a file.",
    )
    stop_notice_seconds: Seconds = Field(5.0, description="Pause between two checks for a stop notice.")

    heartbeat_seconds: Seconds = Field(5.0, description="Pause between heartbeats of a worker or a scheduler.")
    scheduler_round_seconds: Seconds = Field(1.0, description="Pause between dispatch rounds.")
    queue_chunks_per_child: Annotated[int, Field(ge=1)] = Field(
        2, description="Chunks kept in the broker for each child of the running workers."
    )
    resend_seconds: Seconds = Field(10.0, description="A chunk that the broker has lost is sent again after this long.")
    write_reports: bool = Field(
        True, description="Whether the scheduler writes each job's report into its destination when it ends."
    )
    parent_pid: Annotated[int | None, Field(ge=1)] = Field(
        None, description="Set for a process that must end when the process with this number ends."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least severe messages that are logged."
    )

    log_format: Literal["text", "json"] = Field(
        "text",
        description="text: lines for people; json: one object a line with numbers of job, chunk and scan.",
    )
    metrics_port: Annotated[int | None, Field(ge=1, le=65535)] = Field(
        None, description="Port on which a process serves /metrics, /live and /ready; unset: none."
    )
    metrics_address: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1", description="The address that port is bound to; 0.0.0.0 for every network of the machine."
    )
    traces: bool = Field(
        False, description="Whether workers and schedulers send OpenTelemetry traces; OTEL_* variables say to where."
    )
    web_address: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1", description="The address that `photochrom web` listens on; 0.0.0.0 for every network."
    )
    web_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8765, description="The port of the pages and the HTTP API; 0: one that is free."
    )
    web_url: str | None = Field(
        None, description="Where people find the pages, such as https://photochrom.example.org: for links and cookies."
    )
    web_proxy_addresses: str | None = Field(
        None,
        description="Addresses or networks, separated by commas, of the proxy that is trusted to name users.",
    )
    web_proxy_header: str = Field(
        "X-Forwarded-User",
        description="The header in which that proxy gives a person's name; empty: people sign in with accounts.",
    )
    web_proxy_role: Literal["viewer", "reviewer", "operator"] | None = Field(
        None, description="Role of people whom the proxy names and who have no account; unset: they may do nothing."
    )
    web_session_hours: Annotated[float, Field(gt=0, le=8_760)] = Field(
        12.0, description="Hours after which a person must sign in again."
    )
    web_picture_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="Processes that make thumbnails and tiles."
    )
    web_picture_memory_bytes: Annotated[int, Field(ge=64 << 20)] = Field(
        512 << 20, description="Memory that each picture process may use beyond what it has at its start."
    )
    web_picture_seconds: Seconds = Field(60.0, description="A picture that takes longer is given up.")
    web_nice: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far `photochrom web` gives way to other processes of its machine; 0: not at all."
    )
    web_cache_folder: Path | None = Field(
        None, description="Where thumbnails and tiles are kept; unset: a folder of the process in the scratch folder."
    )
    web_cache_bytes: Annotated[int, Field(ge=16 << 20)] = Field(
        2 << 30,
        description="Largest size of the kept thumbnails and tiles; "
        "those not viewed for the longest time are removed first.",
    )
    notices: SecretStr | None = Field(
        None,
        description="Who is told what happens: Apprise addresses (mailto://, slack:// ...) and https:// webhooks.",
    )
    notices_secret: SecretStr | None = Field(
        None, description="The secret that signs what webhooks get, by HMAC-SHA256."
    )
    notices_digest_hour: Annotated[int | None, Field(ge=0, le=23)] = Field(
        None, description="The hour of day, in UTC, from which on a digest of the day before is sent; unset: none."
    )
    notices_answer_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        20.0, description="How long a webhook may take to answer a notice."
    )
    notices_pause_seconds: Annotated[float, Field(gt=0, le=900)] = Field(
        15.0,
        description="The pause before a notice is sent again; each further one is twice as long, up to 15 minutes.",
    )
    celery_remote_control: bool = Field(
        True, description="Whether workers obey Celery's remote control. Flower and anybody at the broker can use it."
    )
    notify_socket: str | None = Field(
        None,
        validation_alias="NOTIFY_SOCKET",
        description="Set by systemd, which is told when the process is ready.",
    )

    @property
    def database(self) -> str:
        """The job database's URL with its password. Raises UsageError if it is not set."""
        if self.database_url is None:
            # There is no default file in the current folder, because nobody would find a job in it again.
            raise UsageError(
                "PHOTOCHROM_DATABASE_URL is not set; expected postgresql://user:password@host/database "
                "or sqlite:////path/to/photochrom.db"
            )
        url = self.database_url.get_secret_value()
        if (path := sqlite_file(url)) and (share := network_share(path)):
            raise UsageError(
                f"PHOTOCHROM_DATABASE_URL names a file on a network share ({share}), where SQLite's locks do not hold; "
                "expected a disk of this machine, or postgresql://user:password@host/database"
            )
        return url

    def threads_for(self, batch_size: int | None = None, devices: int = 1) -> int:
        """How many scans a child works on at once. While one batch is on a device, the children must fill the next.

        With only as many scans as fit into one batch, a device is idle for half of the time: see docs/performance.md.
        """
        if self.threads_per_child is not None:
            return self.threads_per_child
        batch = batch_size or self.batch_size or CPU_BATCH_SIZE
        return min(MOST_THREADS, max(LEAST_THREADS, -(-2 * batch * devices // self.children)))

    @property
    def checkpoint_folder(self) -> Path:
        return self.checkpoint or bundled_checkpoint_path()

    @property
    def model_options(self) -> ModelOptions:
        """Which model the worker's servers load, and how they run it."""
        return ModelOptions(
            checkpoint=self.checkpoint_folder,
            embedding=self.embedding,
            head=self.head,
            precision=self.precision,
            precision_file=self.scratch_folder / f"photochrom-precision-{os.getuid()}.json",
            int8_folder=self.scratch_folder / f"photochrom-int8-{os.getuid()}",
            input_px=self.input_px,
            batch_size=self.batch_size,
            batch_wait_milliseconds=self.batch_wait_milliseconds,
            stub_milliseconds=self.stand_in_model_milliseconds,
        )

    @property
    def silent_seconds(self) -> float:
        """The time without a heartbeat after which a worker counts as silent."""
        return self.heartbeat_seconds * 4

    @property
    def s3_options(self) -> S3Options:
        """The options for S3, with connections for a fetch and a store in each thread."""
        return S3Options(
            endpoint_url=self.s3_endpoint_url,
            attempts=self.s3_attempts,
            timeout_seconds=self.s3_timeout_seconds,
            connections=self.threads_for() * 2,
            requester_pays=self.s3_requester_pays,
            encryption=self.s3_encryption,
            kms_key_id=self.s3_kms_key_id,
            unsigned=self.s3_unsigned,
        )

    @model_validator(mode="after")
    def _features_choose_the_checkpoint(self) -> "Settings":
        if self.features is None:
            return self
        if self.checkpoint is None:
            self.checkpoint = bundled_checkpoint_path(WITHOUT_MAP)
        elif (card := read_card(self.checkpoint)).features is not None:
            raise ValueError(
                f"features is none, but the checkpoint {card.name} has a map of features; expected no checkpoint, or "
                f"one without a map, such as {WITHOUT_MAP}"
            )
        return self

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> "Settings":
        order = (self.soft_time_limit_seconds, self.hard_time_limit_seconds, self.visibility_timeout_seconds)
        if not order[0] < order[1] < order[2]:
            raise ValueError(
                "soft_time_limit_seconds < hard_time_limit_seconds < visibility_timeout_seconds must hold, "
                f"got {order[0]}, {order[1]}, {order[2]}"
            )
        if self.record_seconds * 3 > self.lease_seconds:
            raise ValueError(
                f"lease_seconds must be at least three times record_seconds, got {self.lease_seconds} "
                f"and {self.record_seconds}"
            )
        return self


def secret_variables() -> list[str]:
    """The environment variables of settings that are secrets."""
    fields = Settings.model_fields.items()
    return [f"{PREFIX}{name}".upper() for name, field in fields if SecretStr in (field.annotation, *_parts(field))]


def _parts(field: FieldInfo) -> tuple[Any, ...]:
    return get_args(field.annotation)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that needs no job database, no broker and no store."""
    names = set(secret_variables())
    return {name: value for name, value in environment.items() if name not in names and not name.startswith("AWS_")}


def forget_secrets() -> None:
    """Remove the settings that are secrets from this process' environment. Call it after they have been read.

    So code that decodes files from outside, and child processes, can't read them there. AWS' variables stay, because
    boto3 reads them again when credentials expire.
    """
    for name in secret_variables():
        os.environ.pop(name, None)


def load_settings(**options: Any) -> Settings:
    """The settings from the environment. Raises UsageError with one line, which contains no value that may be secret.

    `options` are settings that a command was given. An option that is None is read from the environment.
    """
    refuse_unknown(os.environ, Settings.model_fields, prefix=PREFIX)
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        # Such a problem means that a default can't be computed, because another setting is wrong. That one is named.
        problems = [one for one in error.errors(include_url=False) if one["type"] != "default_factory_not_called"]
        raise UsageError("; ".join(sentence(problem, Settings, prefix=PREFIX) for problem in problems)) from None
