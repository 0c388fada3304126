package openapi

import "google.golang.org/protobuf/reflect/protoreflect"

// detailFields tell what the fields of google/rpc/error_details.proto hold: the
// descriptors that are linked have no comments.
var detailFields = map[protoreflect.FullName]string{
	"google.rpc.BadRequest.field_violations":                 "Every field that is wrong.",
	"google.rpc.BadRequest.FieldViolation.field":             "The field by its name in the .proto, with dots between: `user.display_name`, `labels[1]`.",
	"google.rpc.BadRequest.FieldViolation.description":       "What is wrong with it, in English.",
	"google.rpc.BadRequest.FieldViolation.reason":            "Why, for programs: `INVALID_VALUE`, `UNKNOWN_FIELD` and their like.",
	"google.rpc.BadRequest.FieldViolation.localized_message": "What is wrong with it, in a person's language.",
	"google.rpc.DebugInfo.stack_entries":                     "The stack, a function in each entry.",
	"google.rpc.DebugInfo.detail":                            "What the server adds to it.",
	"google.rpc.ErrorInfo.reason":                            "Why, for programs: UPPER_SNAKE_CASE, unique in its domain.",
	"google.rpc.ErrorInfo.domain":                            "Who made the reason, such as `user.example.com`.",
	"google.rpc.ErrorInfo.metadata":                          "The parts of the message that differ from call to call, by name.",
	"google.rpc.Help.links":                                  "The places to read.",
	"google.rpc.Help.Link.description":                       "What is found there.",
	"google.rpc.Help.Link.url":                               "Where it is.",
	"google.rpc.LocalizedMessage.locale":                     "The language, as a tag of BCP 47: `en-GB`.",
	"google.rpc.LocalizedMessage.message":                    "The message in that language.",
	"google.rpc.PreconditionFailure.violations":              "Every condition that does not hold.",
	"google.rpc.PreconditionFailure.Violation.type":          "What kind of condition it is, for programs; each service has its own.",
	"google.rpc.PreconditionFailure.Violation.subject":       "What it is about, such as the name of a resource.",
	"google.rpc.PreconditionFailure.Violation.description":   "What would have to hold, in English.",
	"google.rpc.QuotaFailure.violations":                     "Every limit that was exceeded.",
	"google.rpc.QuotaFailure.Violation.subject":              "Whom the limit is for, such as a client by its address.",
	"google.rpc.QuotaFailure.Violation.description":          "What the limit is, in English.",
	"google.rpc.QuotaFailure.Violation.api_service":          "The service that has the limit.",
	"google.rpc.QuotaFailure.Violation.quota_metric":         "What is counted.",
	"google.rpc.QuotaFailure.Violation.quota_id":             "The limit by its name.",
	"google.rpc.QuotaFailure.Violation.quota_dimensions":     "What it is counted by, and the value of each for this call.",
	"google.rpc.QuotaFailure.Violation.quota_value":          "How much may be used.",
	"google.rpc.QuotaFailure.Violation.future_quota_value":   "How much may be used once a change of the limit has come everywhere.",
	"google.rpc.RequestInfo.request_id":                      "The correlation ID.",
	"google.rpc.RequestInfo.serving_data":                    "What else helps its operator to find the call.",
	"google.rpc.ResourceInfo.resource_type":                  "The type of the resource, such as `user.example.com/User`.",
	"google.rpc.ResourceInfo.resource_name":                  "Its name, such as `users/ada-lovelace`.",
	"google.rpc.ResourceInfo.owner":                          "Whose it is, if that is told.",
	"google.rpc.ResourceInfo.description":                    "What went wrong with it, in English.",
	"google.rpc.RetryInfo.retry_delay":                       "How long to wait at least before trying again.",
}
