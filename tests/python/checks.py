"""What the scripts of this folder share: a connection, checks that name what was expected, and failed calls in full.

What must stay true: a check that fails ends the program with a sentence that says what was expected and what was found;
nothing here retries.
"""

import sys
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# Answers explain every line, so a message from the server may be larger than what grpcio takes by default.
ANSWER_BYTES_MAX = 64 << 20
# No single call of these scripts takes longer, in seconds.
CALL_SECONDS_MAX = 30


def fail(sentence):
    """Ends the program."""
    sys.exit(f"FAILED: {sentence}")


def equal(what, found, expected):
    """Checks that two values are the same."""
    if found != expected:
        fail(f"{what} is {found!r}, not {expected!r}")


def holds(what, condition):
    """Checks that something is so."""
    if not condition:
        fail(f"it does not hold that {what}")


def connect(address):
    """A channel to a server that is ready."""
    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", ANSWER_BYTES_MAX)])
    grpc.channel_ready_future(channel).result(timeout=CALL_SECONDS_MAX)
    return channel


def new_id():
    """An id that was never used."""
    return str(uuid.uuid4())


class Failure:
    """A call that failed as a whole: its code, its reason, and the fields at fault with what is said about them."""

    def __init__(self, error):
        self.code = error.code()
        self.reason = self.domain = None
        self.fields = {}
        self.retry_seconds = None
        status = rpc_status.from_call(error)
        holds("a failed call carries a rich status", status is not None)
        for detail in status.details:
            self._read(detail)

    def _read(self, detail):
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            self.reason, self.domain = info.reason, info.domain
        elif detail.Unpack(bad):
            self.fields = {violation.field: violation.description for violation in bad.field_violations}
        elif detail.Unpack(retry):
            self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


def failure_of(call, request):
    """Calls, and expects that the call fails."""
    try:
        response = call(request, timeout=CALL_SECONDS_MAX)
    except grpc.RpcError as error:
        return Failure(error)
    return fail(f"{type(request).__name__} was answered, though it must fail: {response}")


def expect_failure(call, request, code, reason):
    """Calls, expects that the call fails in this way, and returns the failure."""
    failure = failure_of(call, request)
    equal("the outcome", (failure.code, failure.domain, failure.reason), (code, "tallystick", reason))
    return failure
