// Package balancertest runs a target of in-memory instances that can be made slow, failing, hanging or unreachable, and dials them with the
// policy of package balancer. It needs no ports, and works inside a bubble of testing/synctest, where minutes pass in milliseconds:
//
//	fleet := balancertest.New(t, 3)
//	conn := fleet.Dial(balancer.Config{})
//	fleet.Instance(0).Behave(balancertest.Behaviour{Latency: 200 * time.Millisecond})
//
// The instances serve gRPC's grpc.testing.TestService, whose methods gRPC's own tests use, and grpc.health.v1.
package balancertest
