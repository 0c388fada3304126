// Package discovery keeps instances in a registry and finds them there.
//
// A registry is a [Driver]: discovery/file in this module, and whatever else keeps the numbered contracts of [Registrar] and [Watcher],
// which discovery/discoverytest checks. Drivers make single attempts. What must never give up is here, once:
//
//   - [Registration] keeps one instance registered. Whatever the registry does (away at start, restarted, wiped), the instance is back in
//     it within seconds of the registry's return, and no call is refused meanwhile.
//   - [NewResolver] finds the instances of a service for gRPC, and [Wrap] gives plain addresses and DNS the same treatment. Both return a
//     resolver.Builder for grpc.WithResolvers.
//
// # A good list is never taken away
//
// gRPC closes every connection when a resolver reports an empty list, and ignores a resolver's error while it has a list. So:
//
//   - An error of the registry keeps the last good list, without limit. Before there is one, the error is reported, and calls that do not
//     wait fail with UNAVAILABLE and a message that names the registry and the service.
//   - An answer that would take away all instances, or half of them or more at once, is put into effect without taking away any: those
//     that it no longer names are held for Config.Hold, and after that for as long as the client's own connections to them are up and
//     healthy. An instance that no connection is tracked for is let go after Config.Hold. Smaller losses, and additions, take effect at
//     once; so does an instance whose ID or address appears again in the answer in another combination.
//   - An empty answer never leads to an empty list. When no kept instance can be reached any more, this is reported as an error beside
//     the list.
//   - The list is remembered when the last connection of a target closes or goes idle, for the one that comes next.
//
// Entries that are invalid, or duplicates by ID or address, are left out one by one. The order of a list is that of the IDs.
//
// What was decided is in the metric keelson_resolver_decisions_total, in the log, and in the [target.Decision] of the target's live state:
// accepted, unchanged, held, confirmed (held instances were let go), gone (none of the held ones can be reached), kept (an error, and a
// last good list), empty and error (no last good list), remembered (an earlier connection's list).
//
// All pauses after errors are jittered and at most 3 s by default.
package discovery
