// Package target describes the instances that a client's targets resolve to, and holds what the client knows about each of them right now.
//
// There are two halves. The attributes ([Instance]) travel from the resolver to balancers and credentials inside gRPC's own resolver
// addresses and endpoints. The live state ([Registry] -> [Target] -> [Live]) belongs to one client: the resolver writes the list of
// instances and its last [Decision] into it, whoever watches the connections (a balancing policy) writes their state, and
// /debug/keelson/targets reads a [Snapshot]. A target is what was dialled, for example "file:///user".
//
// Nothing here is global: two clients in one process know nothing of each other's connections.
package target
