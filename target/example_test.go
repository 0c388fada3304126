package target_test

import (
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// A resolver puts a list into effect, a balancing policy reports its connections, and a debug page shows both.
func Example() {
	client := target.NewRegistry()
	user := client.Acquire("file:///user")
	defer client.Release(user)

	in := target.Instance{Service: "user", ID: "user-1", Address: "10.0.0.1:8080", Zone: "a"}
	user.Apply([]target.Entry{{Instance: in}})
	conn := user.Live(in.Address).Track()
	conn.Set(connectivity.Ready, target.HealthServing)

	b, err := json.MarshalIndent(client.Snapshot()[0].Instances, "", "  ")
	fmt.Println(string(b), err)
	// Output:
	// [
	//   {
	//     "service": "user",
	//     "id": "user-1",
	//     "address": "10.0.0.1:8080",
	//     "zone": "a",
	//     "connections": 1,
	//     "connection": "READY",
	//     "health": "SERVING"
	//   }
	// ] <nil>
}

// What the registry says about an instance travels to the balancing policy in the endpoint's attributes.
func ExampleSetEndpoint() {
	ep := resolver.Endpoint{Addresses: []resolver.Address{{Addr: "10.0.0.1:8080"}}}
	ep = target.SetEndpoint(ep, target.Instance{ID: "user-1", Address: "10.0.0.1:8080", Weight: 50})

	in, ok := target.FromEndpoint(ep)
	fmt.Println(in.ID, in.Weight, ok)
	// Output: user-1 50 true
}
