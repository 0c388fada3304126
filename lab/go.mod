module github.com/keelson-dev/keelson/lab

go 1.26.0

replace github.com/keelson-dev/keelson => ../

require (
	github.com/anishathalye/porcupine v1.3.1
	google.golang.org/grpc v1.85.0
)

require (
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261005182115-fad411399dd8 // indirect
)
