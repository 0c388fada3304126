// Package balancer spreads calls over the instances of a target. It is one gRPC load balancing policy, registered as "keelson", that wraps
// whichever of gRPC's own policies is configured: gRPC's policy chooses, and ours passes over what is sick.
//
// Per instance it keeps a breaker (gobreaker) and one factor in [0,1]: the registry's weight x the preference of the client's zone x the
// ramp of an instance that has recovered x how it fares against its siblings. A pick that falls on an instance which is out, thinned by
// its factor, or has seen the call before is given back with its Done and made again, a bounded number of times; then any instance that
// is fit takes the call, then the best one seen. A pick never fails because of what this package thinks of instances.
//
// # What takes an instance out
//
//   - Failures: five in a row, however long they take to come, or half of at least ten within ten seconds. UNAVAILABLE, INTERNAL, UNKNOWN
//     and DATA_LOSS are failures; DEADLINE_EXCEEDED of a unary call is one if the attempt had the call's whole time, or five times what its
//     method usually takes, and in no case less than 50 ms or, of its own time, twice the usual. What the caller did wrong is a success of
//     the instance; CANCELED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, an orderly drain, and what was never sent count
//     for nothing. A connection that fails is gRPC's own business.
//   - A hang: calls have gone unanswered for four times their usual duration (at least 300 ms, at most 800 ms), nothing at all was
//     heard from the instance meanwhile, and a health check over its own connection is not answered within 500 ms either. An instance
//     that still answers health checks is taken out when two calls are older than eight times their usual duration (a second at least)
//     while its siblings answer, or when five in a row, in a second or more, were given up unanswered after longer than nearly all calls of
//     their method take, as hedges do. A stream that is quiet is no hang; but since nothing is seen of what it receives, an instance to which one
//     was opened, and from which nothing else is heard, is asked for its health once.
//
// It is probed with grpc.health.v1 Check over its own connection, never with users' calls, after 1 s, 2 s, 4 s and so on up to 10 s, each
// with a jitter of a fifth, and at once when its connection was made anew. After a good probe a few unary calls are let through, those
// that may be retried first; when they succeed its share grows from a tenth to all of it within ten seconds. Where no such call comes,
// three good probes do instead, and the first call that fails takes it out again.
//
// Where calls of one method fail five times in a row and others do not, only calls of that method go elsewhere. One of them tries the
// instance again after 1 s, 2 s, 4 s and so on up to 10 s, since no health check could; the first that succeeds ends it. What fails
// everywhere is called everywhere.
//
// All this is remembered for a minute when an instance leaves the list, so that a registry that flaps does not make it look new.
//
// # What thins an instance
//
// Latency and failures are compared with the siblings' median. Each call's duration is compared with what its method usually takes, so
// that the mix of methods does not matter; what counts is what most calls take, and the mean, which the slow calls of one method raise.
// Only a clear excess counts (half as long again and ten milliseconds; two per cent of failures more than the siblings, and three times as
// many), and only on enough evidence. A share never falls below two per cent for this, so that a recovery is seen.
//
// # Cost
//
// A pick costs about half a microsecond and one allocation (gobreaker's) more than the wrapped policy's. While unary calls are on their
// way, a stream was just opened, or an instance is anything but well, one goroutine per connection looks at the instances ten times a second; otherwise it sleeps.
//
// # When all drain
//
// An instance that says it serves no longer gets calls only while no other is ready, until its connection ends and for ten seconds at
// most: one that drains serves on until it has told its clients, and the next one may not be known yet. One that has not served over its
// connection gets none.
//
// # When all are sick
//
// When more than half of the instances are out, all are used: then what they share is sick, and the breakers per method speak.
package balancer
