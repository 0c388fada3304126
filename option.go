package keelson

import (
	"io"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/validate"
)

// Option adds behaviour to a [Service] or a [Client]; data is in [Config].
type Option interface{ apply(*options) }

type options struct {
	unary        []grpc.UnaryServerInterceptor
	stream       []grpc.StreamServerInterceptor
	clientUnary  []grpc.UnaryClientInterceptor
	clientStream []grpc.StreamClientInterceptor
	server       []grpc.ServerOption
	frames       bool
	domain       string
	registry     *prometheus.Registry
	classifiers  []errs.Classifier
	descriptors  []protoreflect.ServiceDescriptor
	validation   []validate.Option
	driver       discovery.Driver
	listener     net.Listener
	logOutput    io.Writer
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithUnaryInterceptors adds interceptors of your own to unary calls. They run
// inside the chassis's part, in the order given: after deadline, limits and
// recovery, before the handler. Validation has run when the handler's argument
// exists.
func WithUnaryInterceptors(i ...grpc.UnaryServerInterceptor) Option {
	return optionFunc(func(o *options) { o.unary = append(o.unary, i...) })
}

// WithStreamInterceptors adds interceptors of your own to streams, inside the
// chassis's part, in the order given.
func WithStreamInterceptors(i ...grpc.StreamServerInterceptor) Option {
	return optionFunc(func(o *options) { o.stream = append(o.stream, i...) })
}

// WithClientInterceptors adds interceptors of your own to outgoing calls. They
// run inside the chassis's part, in the order given: once for a call with all its
// retries, and a second time, at once with the first, for a call that is hedged.
// Either may be nil.
func WithClientInterceptors(unary []grpc.UnaryClientInterceptor, stream []grpc.StreamClientInterceptor) Option {
	return optionFunc(func(o *options) {
		o.clientUnary = append(o.clientUnary, unary...)
		o.clientStream = append(o.clientStream, stream...)
	})
}

// WithServerOptions passes options to grpc.NewServer, after the chassis's own.
// Interceptors belong in [WithUnaryInterceptors] and [WithStreamInterceptors].
// Since they may concern how messages are received (a codec, a stats handler),
// gRPC receives them then: a message that is larger than grpc.max_receive is
// answered RESOURCE_EXHAUSTED as before, but without a reason.
func WithServerOptions(s ...grpc.ServerOption) Option {
	return optionFunc(func(o *options) { o.server = append(o.server, s...) })
}

// WithErrorDomain sets the domain of the errors that the service makes (AIP-193),
// such as user.example.com; default: the service's name.
func WithErrorDomain(domain string) Option {
	return optionFunc(func(o *options) { o.domain = domain })
}

// WithRegistry collects the metrics in a registry made elsewhere, such as that of
// the program that a client belongs to. One registry takes one service or one
// client. Default: one of its own.
func WithRegistry(r *prometheus.Registry) Option {
	return optionFunc(func(o *options) { o.registry = r })
}

// WithErrors tells how the service's domain and infrastructure errors map to
// [errs.Error]s; see [errs.Table]. The first classifier that knows an error
// wins.
func WithErrors(c ...errs.Classifier) Option {
	return optionFunc(func(o *options) { o.classifiers = append(o.classifiers, c...) })
}

// WithChecks tells what a service's handlers find wrong with a request that no rule
// of its .proto says, such as an e-mail without an @: as an [*errs.Error] with field
// violations, or nil. It is asked only about requests that break rules, so that
// callers hear of all that is wrong in one answer; handlers check the others
// themselves.
func WithChecks(check func(req proto.Message) error) Option {
	return optionFunc(func(o *options) { o.validation = append(o.validation, validate.WithChecks(check)) })
}

// WithDescriptors describes services by descriptors that were read from a file: the
// policy table gets those that are not linked into the process, and the
// [Contract] those that are registered by their Go types. These have no comments,
// which a FileDescriptorSet with source information has (buf build, or protoc
// --include_source_info), and so a front describes its services with them. One that
// has other methods than what is linked in is logged and not used.
func WithDescriptors(d ...protoreflect.ServiceDescriptor) Option {
	return optionFunc(func(o *options) { o.descriptors = append(o.descriptors, d...) })
}

// WithDiscovery replaces the registry that the configuration names.
func WithDiscovery(d discovery.Driver) Option {
	return optionFunc(func(o *options) { o.driver = d })
}

// WithListener serves native gRPC on a listener made elsewhere (an in-memory
// one, or one that was passed in) instead of Config.GRPC.Address. The service
// closes it.
func WithListener(l net.Listener) Option {
	return optionFunc(func(o *options) { o.listener = l })
}

// WithLogOutput writes the log somewhere else than to standard error.
func WithLogOutput(w io.Writer) Option {
	return optionFunc(func(o *options) { o.logOutput = w })
}
