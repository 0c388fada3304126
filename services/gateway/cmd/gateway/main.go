// Command gateway exposes the services on its allow-list. It takes --config,
// --set key=value and --print-config, and KEELSON_ variables; see
// services/gateway/internal.Config for the settings.
package main

import (
	"context"
	"os"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// heapFloor is larger than a service's: a call that is forwarded is served and made,
// and leaves twice the garbage, while a gateway keeps as little.
const heapFloor = 96 << 20

func main() {
	keelson.Main(func(ctx context.Context) error { return internal.Run(ctx, os.Args[1:]) }, keelson.WithHeapFloor(heapFloor))
}
