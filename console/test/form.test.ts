import { Code, KeelsonError } from "@keelson/client";
import { create, toBinary } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema } from "@keelson/client/gen/google/rpc/error_details_pb";
import { describe, expect, it } from "vitest";
import { check, draftOfForm, faultsOf, formOf } from "../src/users/form.js";

const draft = { email: "a@x", displayName: "A", givenName: "", familyName: "", labels: { b: "2", a: "1" } };

function problem(code: Code, reason: string, fields: { field: string; description: string }[] = [], metadata = {}): KeelsonError {
  return new KeelsonError({
    code,
    message: "no",
    details: [
      { type: ErrorInfoSchema.typeName, value: toBinary(ErrorInfoSchema, create(ErrorInfoSchema, { reason, metadata })) },
      { type: BadRequestSchema.typeName, value: toBinary(BadRequestSchema, create(BadRequestSchema, { fieldViolations: fields })) },
    ],
  });
}

describe("the form", () => {
  it("holds a draft, its labels sorted", () => {
    const form = formOf(draft);
    expect(form.labels.map((l) => l.key)).toEqual(["a", "b"]);
    expect(draftOfForm(form)).toEqual(draft);
  });

  it("leaves out spaces around texts and labels that are empty", () => {
    const form = { ...formOf(draft), email: " a@x ", labels: [{ id: 1, key: " a ", value: "1" }, { id: 2, key: "", value: "" }] };
    expect(draftOfForm(form)).toEqual({ ...draft, labels: { a: "1" } });
  });

  it.each([
    ["a key twice", [{ id: 1, key: "a", value: "1" }, { id: 2, key: "a ", value: "2" }], { labels: "“a” is there twice; each key once" }],
    ["a value without a key", [{ id: 1, key: "", value: "1" }], { labels: "a value needs a key" }],
    ["nothing wrong", [{ id: 1, key: "a", value: "" }], {}],
  ])("finds %s", (_, labels, faults) => {
    expect(check({ ...formOf(draft), labels })).toEqual(faults);
  });
});

describe("an error", () => {
  it("comes to its fields", () => {
    const fields = [{ field: "user.email", description: "is bad" }, { field: "user.email", description: "is worse" }, { field: "user_id", description: "does not match regex pattern `^x$`" }, { field: "user.labels", description: "too many" }];
    expect(faultsOf(problem(Code.InvalidArgument, "INVALID_REQUEST", fields))).toEqual({ faults: { email: "is bad; is worse", userId: "must be 4 to 63 of a–z, 0–9 and hyphen, beginning with a letter and not ending with a hyphen", labels: "too many" }, rest: false });
  });

  it.each([
    ["of a field that the form has not", problem(Code.InvalidArgument, "INVALID_REQUEST", [{ field: "update_mask", description: "is bad" }]), {}, true],
    ["of no field", problem(Code.Unavailable, "STORE_UNAVAILABLE"), {}, true],
    ["of a taken e-mail", problem(Code.AlreadyExists, "EMAIL_TAKEN"), { email: "another user has this e-mail" }, false],
    ["of a taken ID", problem(Code.AlreadyExists, "USER_ALREADY_EXISTS", [], { deleted: "false" }), { userId: "another user has this ID" }, false],
    ["of an ID of a deleted user", problem(Code.AlreadyExists, "USER_ALREADY_EXISTS", [], { deleted: "true" }), { userId: "a deleted user has this ID; undelete it or choose another one" }, false],
  ])("%s", (_, p, faults, rest) => {
    expect(faultsOf(p)).toEqual({ faults, rest });
  });
});
