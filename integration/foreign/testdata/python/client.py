"""Calls the user and the audit service with grpcio, and prints as JSON what it was
answered.

    python3 client.py DESCRIPTORS USER-ADDRESS AUDIT-ADDRESS

The types come from a descriptor set; nothing is generated.
"""

import json
import queue
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Seconds: beyond them something is stuck.
TIMEOUT = 60


class Types:
    """The messages and methods of a descriptor set."""

    def __init__(self, path):
        files = descriptor_pb2.FileDescriptorSet()
        with open(path, "rb") as f:
            files.ParseFromString(f.read())
        self.pool = descriptor_pool.DescriptorPool()
        for file in files.file:  # what a file imports comes before it
            self.pool.Add(file)
        if hasattr(message_factory, "GetMessageClass"):
            self.of = message_factory.GetMessageClass
        else:
            self.of = message_factory.MessageFactory(self.pool).GetPrototype

    def message(self, name):
        return self.of(self.pool.FindMessageTypeByName(name))

    def stub(self, channel, service):
        """Returns the methods of a service by their names."""
        kinds = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }
        proto = descriptor_pb2.ServiceDescriptorProto()
        described = self.pool.FindServiceByName(service)
        described.CopyToProto(proto)
        methods = {}
        for method, form in zip(described.methods, proto.method):
            methods[method.name] = kinds[form.client_streaming, form.server_streaming](
                "/%s/%s" % (service, method.name),
                request_serializer=self.of(method.input_type).SerializeToString,
                response_deserializer=self.of(method.output_type).FromString,
            )
        return methods


class Script:
    def __init__(self, types, users, changes):
        self.types = types
        self.call = types.stub(users, "user.v1.UserService")
        self.audit = types.stub(changes, "audit.v1.AuditService")

    def request(self, message, /, **fields):
        return self.types.message("user.v1." + message)(**fields)

    def told(self, call):
        """The code of the error of a call, and what its details say."""
        try:
            call()
        except grpc.RpcError as error:
            answer = {"code": error.code().value[0], "fields": []}
            trailer = dict(error.trailing_metadata())
            status = self.types.message("google.rpc.Status").FromString(trailer["grpc-status-details-bin"])
            for detail in status.details:
                name = detail.type_url.split("/")[-1]
                message = self.types.message(name).FromString(detail.value)
                if name == "google.rpc.ErrorInfo":
                    answer.update(reason=message.reason, domain=message.domain)
                elif name == "google.rpc.BadRequest":
                    answer["fields"] = [v.field for v in message.field_violations]
            return answer
        raise AssertionError("the call succeeded")

    def watch(self, name):
        """Watches the users as they are, changes one, and watches the change."""
        seen = []
        stream = self.call["WatchUsers"](self.request("WatchUsersRequest"), timeout=TIMEOUT)
        try:
            for message in stream:
                kind = message.DESCRIPTOR.enum_types_by_name["Type"].values_by_number[message.type].name
                if kind == "TYPE_BOOKMARK" and not message.initial_state_end:
                    continue  # nothing happened for a while
                seen.append("SYNCED" if message.initial_state_end else "%s %s" % (kind, message.user.name))
                if message.initial_state_end:
                    self.call["SuspendUser"](self.request("SuspendUserRequest", name=name), timeout=TIMEOUT)
                elif kind == "TYPE_MODIFIED":
                    stream.cancel()
        except grpc.RpcError as error:
            return {"seen": seen, "end": error.code().value[0]}
        raise AssertionError("the watch ended with OK")

    def import_users(self):
        """Imports a good user, a bad one and another good one over one stream."""
        requests = queue.SimpleQueue()
        send = lambda **fields: requests.put(self.request("ImportUsersRequest", **fields))
        answer = {"import_id": "", "names": [], "failed": []}
        send(start={"import_id": "of-a-script"})
        for message in self.call["ImportUsers"](iter(requests.get, None), timeout=TIMEOUT):
            kind = message.WhichOneof("message")
            if kind == "started":
                answer["import_id"] = message.started.import_id
                for sequence, email in enumerate(["one@example.com", "no address", "three@example.com"]):
                    send(item={"sequence": sequence, "user_id": "import-%d" % sequence, "user": {"email": email}})
                requests.put(None)
            elif kind == "summary":
                s = message.summary
                answer["summary"] = {"received": s.received, "created": s.created, "failed": s.failed}
            elif message.result.WhichOneof("outcome") == "error":
                answer["failed"].append({"sequence": message.result.sequence, "code": message.result.error.code})
            else:
                answer["names"].append(message.result.name)
        answer["names"].sort()
        return answer

    def stream_changes(self, requests):
        """Calls Follow with messages of a queue, which None ends, and begins it."""
        follow = self.types.message("audit.v1.FollowRequest")
        return self.audit["Follow"]((follow(**fields) for fields in iter(requests.get, None)), timeout=TIMEOUT)

    def follow(self, last):
        """Follows the history up to a change of a user, acknowledges each change, and ends in good order."""
        requests = queue.SimpleQueue()
        requests.put({"start": {"consumer": "of-a-script", "window": 2}})
        answer = {"window": 0, "positions": [], "kinds": [], "acknowledged": 0}
        for message in self.stream_changes(requests):
            kind = message.WhichOneof("message")
            if kind == "started":
                answer["window"] = message.started.window
            elif kind == "acknowledged":
                answer["acknowledged"] = message.acknowledged.position
            else:
                change = message.change
                answer["positions"].append(change.position)
                answer["kinds"].append(change.DESCRIPTOR.enum_types_by_name["Kind"].values_by_number[change.kind].name)
                requests.put({"ack": {"position": change.position}})
                if change.user == last:
                    requests.put(None)
        return answer

    def acknowledge_too_much(self):
        """Acknowledges what was never sent."""
        requests = queue.SimpleQueue()
        requests.put({"start": {}})
        requests.put({"ack": {"position": 1000000}})
        try:
            for _ in self.stream_changes(requests):
                pass
        finally:
            requests.put(None)

    def run(self):
        short = lambda user: {"name": user.name, "email": user.email, "etag": user.etag}
        created, call = self.call["CreateUser"].with_call(
            self.request("CreateUserRequest", user_id="grace-h", user={"email": "grace@example.com"}),
            timeout=TIMEOUT,
            metadata=[("x-correlation-id", "of-a-script")],
        )
        return {
            "created": short(created),
            "correlation": dict(call.trailing_metadata()).get("x-correlation-id", ""),
            "read": short(self.call["GetUser"](self.request("GetUserRequest", name="users/grace-h"), timeout=TIMEOUT)),
            "missing": self.told(lambda: self.call["GetUser"](self.request("GetUserRequest", name="users/nobody-here"), timeout=TIMEOUT)),
            "invalid": self.told(
                lambda: self.call["CreateUser"](self.request("CreateUserRequest", user_id="x", user={"email": "x@example.com"}), timeout=TIMEOUT)
            ),
            "watched": self.watch("users/grace-h"),
            "imported": self.import_users(),
            "followed": self.follow("users/import-2"),
            "too_much": self.told(self.acknowledge_too_much),
        }


def main():
    descriptors, user, audit = sys.argv[1:]
    with grpc.insecure_channel(user) as users, grpc.insecure_channel(audit) as changes:
        print(json.dumps(Script(Types(descriptors), users, changes).run()))


if __name__ == "__main__":
    main()
