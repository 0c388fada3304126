package keelson

import (
	"time"

	"github.com/keelson-dev/keelson/internal/config"
	"github.com/keelson-dev/keelson/policy"
)

// Config is what a service or a client can be told. The zero value works: it
// serves on loopback with every default below. [LoadConfig] fills it from a
// file, the environment and flags; a service embeds it in a struct of its own
// to add settings.
//
// Keys marked reloadable change while the service runs (SIGHUP, or a change of
// the file); all others need a restart.
type Config struct {
	// Environment names where the service runs, such as production.
	Environment string `yaml:"environment" default:"development" doc:"where the service runs; a label of logs and traces"`
	// Version is the version of the service; default: the build's.
	Version string `yaml:"version" doc:"version of the service; default: that of the build"`
	// InstanceID names this process; default: service, host and port, or process
	// ID and a nonce where the system chooses the port.
	InstanceID string `yaml:"instance_id" doc:"name of this instance; default: made of service, host and port"`
	// Zone is the failure domain of the instance.
	Zone string `yaml:"zone" doc:"failure domain, such as a data centre's zone"`
	// Weight is the instance's share of calls relative to its siblings.
	Weight uint32 `yaml:"weight" default:"100" min:"1" max:"65535" doc:"share of calls relative to the service's other instances"`
	// Insecure permits plaintext off loopback.
	Insecure bool `yaml:"insecure" doc:"permit plaintext gRPC off loopback, listening and dialling"`

	GRPC      GRPCConfig      `yaml:"grpc"`
	Ops       OpsConfig       `yaml:"ops"`
	Debug     DebugConfig     `yaml:"debug"`
	Client    ClientConfig    `yaml:"client"`
	Discovery DiscoveryConfig `yaml:"discovery"`
	Log       LogConfig       `yaml:"log"`
	Metrics   MetricsConfig   `yaml:"metrics"`
	Trace     TraceConfig     `yaml:"trace"`
	Drain     DrainConfig     `yaml:"drain"`
	Policy    PolicyConfig    `yaml:"policy"`

	// Methods override the policy of single methods.
	Methods []policy.Override `yaml:"methods" reload:"true" doc:"policy of single methods, over what their .proto says"`

	loaded *config.Loaded
}

// Secret is text that no log and no print shows.
type Secret = config.Secret

// Size is a number of bytes; configuration spells it 512, 64KiB or 4MiB.
type Size = config.Size

// ServerTLS names the files of a listener's TLS. All empty: plaintext. Files are
// PEM.
type ServerTLS struct {
	// CertFile and KeyFile are the certificate chain and its private key.
	CertFile string `yaml:"cert_file" doc:"PEM file of the certificate chain"`
	KeyFile  string `yaml:"key_file" doc:"PEM file of the private key"`
	// ClientCAFile holds the authorities of client certificates; set, it makes
	// them mandatory.
	ClientCAFile string `yaml:"client_ca_file" doc:"PEM file of the authorities of client certificates; set, it makes them mandatory"`
}

// ClientTLS names the files of a client's TLS. All empty: plaintext. Files are
// PEM.
type ClientTLS struct {
	// CertFile and KeyFile are shown to servers that ask for a certificate.
	CertFile string `yaml:"cert_file" doc:"PEM file of the client's certificate chain"`
	KeyFile  string `yaml:"key_file" doc:"PEM file of the client's private key"`
	// CAFile holds the authorities of server certificates; set, it turns TLS on.
	CAFile string `yaml:"ca_file" doc:"PEM file of the authorities of server certificates; set, it turns TLS on"`
	// ServerName is the name expected in a server's certificate.
	ServerName string `yaml:"server_name" doc:"name expected in a server's certificate; default: the dialled one"`
}

// GRPCConfig is the native gRPC listener.
type GRPCConfig struct {
	// Address is host:port; port 0 lets the system choose one, which is
	// reported and registered.
	Address string `yaml:"address" default:"127.0.0.1:9090" doc:"host:port to listen on; port 0: chosen by the system"`
	// Advertise is the host:port that is registered; default: Address.
	Advertise string    `yaml:"advertise" doc:"host:port that is registered; default: the listening address"`
	TLS       ServerTLS `yaml:"tls"`

	MaxReceive        Size          `yaml:"max_receive" default:"4MiB" min:"1KiB" max:"2047MiB" doc:"largest message received"`
	MaxSend           Size          `yaml:"max_send" default:"16MiB" min:"1KiB" max:"2047MiB" doc:"largest message sent"`
	MaxHeaderList     Size          `yaml:"max_header_list" default:"16KiB" min:"1KiB" max:"16MiB" doc:"most header bytes of a call"`
	MaxStreams        int           `yaml:"max_streams" default:"10000" min:"2" max:"2147483647" doc:"most concurrent streams of one connection; the health watch of a client is one of them"`
	HandshakeTimeout  time.Duration `yaml:"handshake_timeout" default:"10s" min:"100ms" doc:"most time for a connection's handshakes"`
	MaxConnectionIdle time.Duration `yaml:"max_connection_idle" default:"15m" min:"1s" doc:"closes a connection with no call for so long"`
	MaxConnectionAge  time.Duration `yaml:"max_connection_age" default:"30m" min:"1s" doc:"asks clients to reconnect after so long, jittered by 10 %"`
	ConnectionGrace   time.Duration `yaml:"connection_age_grace" default:"30s" min:"1s" doc:"lets calls of an aged connection finish for so long"`
	StreamWindow      Size          `yaml:"stream_window" default:"256KiB" min:"64KiB" max:"1GiB" doc:"flow-control window of a stream, static"`
	ConnectionWindow  Size          `yaml:"connection_window" default:"1MiB" min:"64KiB" max:"1GiB" doc:"flow-control window of a connection, static"`
	StreamWorkers     int           `yaml:"stream_workers" default:"256" min:"0" max:"65536" doc:"goroutines kept for calls; more calls get goroutines of their own"`
	Reflection        bool          `yaml:"reflection" doc:"serve gRPC reflection; always served on loopback"`
}

// OpsConfig is the operations listener: gRPC health, /livez, /readyz and
// /metrics. It is plaintext unless TLS is set, so that probes and scrapers work
// where gRPC wants client certificates.
type OpsConfig struct {
	Address string `yaml:"address" default:"127.0.0.1:9091" doc:"host:port of health, /livez, /readyz and /metrics ; off: none"`
	// TLS is for platforms that forbid plaintext; probes must then speak it.
	TLS ServerTLS `yaml:"tls"`
}

// DebugConfig is the debugging listener: pprof, zpages, policy, log level.
type DebugConfig struct {
	Address string    `yaml:"address" default:"127.0.0.1:0" doc:"loopback host:port of pprof and zpages; off: none"`
	TLS     ServerTLS `yaml:"tls"`
}

// ClientConfig is what every outgoing connection has in common.
type ClientConfig struct {
	TLS ClientTLS `yaml:"tls"`

	MaxReceive   Size          `yaml:"max_receive" default:"16MiB" min:"1KiB" max:"2047MiB" doc:"largest message received"`
	MaxSend      Size          `yaml:"max_send" default:"16MiB" min:"1KiB" max:"2047MiB" doc:"largest message sent"`
	ConnectTime  time.Duration `yaml:"connect_timeout" default:"2s" min:"100ms" doc:"time given to one connection attempt, and the longest backoff between them"`
	LoadBalancer string        `yaml:"load_balancer" default:"least_request" enum:"least_request,round_robin,weighted_round_robin,ring_hash,pick_first" doc:"gRPC's policy that chooses instances; the chassis passes over sick ones whichever it is"`
	HashHeader   string        `yaml:"hash_header" doc:"metadata key by whose value ring_hash chooses the instance"`
	IdleTimeout  time.Duration `yaml:"idle_timeout" default:"30m" min:"1s" doc:"closes connections with no call for so long"`
}

// LogConfig is about logs.
type LogConfig struct {
	Level  string  `yaml:"level" default:"info" enum:"debug,info,warn,error" reload:"true" doc:"lowest level written"`
	Format string  `yaml:"format" default:"auto" enum:"auto,json,pretty" doc:"auto: pretty on a terminal, JSON elsewhere"`
	Sample float64 `yaml:"sample" default:"1" min:"0" max:"1" reload:"true" doc:"share of successful calls that get a line; others always do"`
}

// MetricsConfig is about metrics.
type MetricsConfig struct {
	Buckets []float64 `yaml:"buckets" doc:"upper bounds of the classic duration histograms, in seconds"`
}

// TraceConfig is about traces. A Ratio of 0 that is set in code means the default,
// as in all of [Config]; 1e-12 samples none.
type TraceConfig struct {
	Endpoint string  `yaml:"endpoint" doc:"host:port of an OTLP collector over gRPC; empty: spans are not exported"`
	Insecure bool    `yaml:"insecure" doc:"speak plaintext to a collector off loopback"`
	Ratio    float64 `yaml:"ratio" default:"0.01" min:"0" max:"1" reload:"true" doc:"share of new traces that are sampled; a caller's decision is kept"`
}

// DrainConfig is the budget of the ordered stop, step by step.
type DrainConfig struct {
	Deregister  time.Duration `yaml:"deregister" default:"2s" min:"1ms" doc:"most time for leaving the registry"`
	Propagation time.Duration `yaml:"propagation" default:"5s" min:"1ms" doc:"most time for which the instance serves on while its clients learn that it leaves"`
	Quiet       time.Duration `yaml:"quiet" default:"1s" min:"1ms" doc:"ends the propagation early when no call began for so long"`
	Streams     time.Duration `yaml:"streams" default:"5s" min:"1ms" doc:"time given to streams to end by themselves"`
	Calls       time.Duration `yaml:"calls" default:"12s" min:"1ms" doc:"time given to calls to finish; no method may have a longer deadline"`
	Stop        time.Duration `yaml:"stop" default:"3s" min:"1ms" doc:"time given to workers, telemetry and stores, each"`
}

// PolicyConfig holds the defaults below every method's own policy.
type PolicyConfig struct {
	Timeout       time.Duration `yaml:"timeout" default:"10s" min:"1ms" reload:"true" doc:"deadline of unary methods that declare none"`
	RetryAttempts int           `yaml:"retry_attempts" default:"3" min:"1" max:"5" doc:"how often a call that may be retried is sent at most"`
	Hedge         policy.Switch `yaml:"hedge" default:"on" enum:"on,off" reload:"true" doc:"ask a second instance when the first is slow to answer, for methods without side effects"`
	Breaker       policy.Switch `yaml:"breaker" default:"on" enum:"on,off" reload:"true" doc:"stop calling a method of a target for a while when most of its calls fail"`
	MaxCallers    int           `yaml:"max_callers" default:"10000" min:"1" doc:"most callers whose rate is counted one by one"`
}
