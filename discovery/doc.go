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
//   - An answer that would take away all instances, or half of them or more, or that the registry itself calls stale, is put into effect
//     without taking away any: those that it no longer names are held for Config.Hold, and after that for as long as the client's own
//     connections to them are up and healthy. An instance that no connection is tracked for is let go after Config.Hold, unless
//     connections to others that are held prove the registry wrong.
//   - Fewer leave after Config.RemovalDelay, or at once when their connections are down or they ask for no calls; one that is back by then
//     has never been away. Additions take effect at once; so does an instance whose ID or address appears again in the answer in another
//     combination.
//   - An empty answer never leads to an empty list. When no kept instance can be reached any more, this is reported as an error beside
//     the list.
//   - When a registry names instances all of which fail their checks, and nothing else is known that can be reached, those are used.
//   - The list is remembered when the last connection of a target closes or goes idle, for the one that comes next. With Config.CacheDir
//     it is also kept on disk, for a process that starts while the registry is away. The first answer replaces such a list, except for
//     those instances that connections are up to: they are held like any others.
//
// Entries that are invalid, or duplicates by ID or address, are left out one by one. The order of a list is that of the IDs. Connections
// are given one list per Config.UpdateInterval, after a burst of a few. In a fleet larger than Subset.Above a client connects to a part of
// it, see [Subset].
//
// What was decided is in the metric keelson_resolver_decisions_total, in the log and in the [target.Decision] of the target's live state:
// waiting (no answer yet), accepted, unchanged, held (also when some are back that were gone), removed (few that the registry no longer
// names have left), confirmed (held instances were let go), gone (none of the held ones can be reached), kept (an error, and a last good
// list), empty and error (no last good list), failing (all fail their checks, and are used), remembered (an earlier connection's list) and
// cached (an earlier process's list). The log does not repeat what it said, tells of a registry that goes on to fail once a minute, and
// after a burst of twenty has a line in five seconds at most, which says how many were left out.
//
// All pauses after errors are jittered and at most 3 s by default.
package discovery
