package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// ErrNotRegistered is what a [Registrar]'s Check wraps when the registry answers and the instance is not in it as it was registered.
var ErrNotRegistered = errors.New("instance is not registered")

// Query is what a client asks a registry for, taken from the dial target scheme:///service?name=value.
type Query struct {
	// Service is the name of the service.
	Service string
	// Params are the parameters of the dial target, for example tag=v1. A driver refuses those it does not know.
	Params url.Values
}

// Update is one whole answer of a registry.
type Update struct {
	// Instances is the full list of the service at one moment, in any order. Empty means that the registry was asked, answered, and
	// knows of none.
	Instances []Instance
	// Failing are instances that the registry names and whose checks fail there; they are not in Instances. They are used when nothing
	// else is known.
	Failing []Instance
	// Invalid has one error per entry that could not be read; those entries are not in Instances.
	Invalid []error
	// Unchanged says that the registry answered, and that the list is the one that the same Watch delivered last; the fields above are
	// then empty.
	Unchanged bool
	// Stale says why the answer may be out of date, for example that the server knew of no leader; empty when it is not. Such an answer
	// adds instances and takes none away.
	Stale string
}

// Registrar makes single attempts to write one instance into a registry. The loop that never gives up around them is [Registration].
//
// The contract that every driver keeps (discoverytest.Run checks it):
//
//  1. Every method makes one attempt and does not retry. It returns when the attempt is decided or ctx ends, whichever is first, and
//     leaves no goroutine behind. It may be called concurrently, also for several instances.
//  2. Register writes the whole instance and replaces whatever stands under the same service and ID. Registering again what is already
//     there changes nothing that a watcher sees.
//  3. When Register has returned nil, a Watch that starts afterwards sees the instance; one that already runs sees it soon.
//  4. Check returns nil when the registry holds the instance as registered. It returns an error that wraps ErrNotRegistered when the
//     registry answers and does not hold it, or holds it with other content. Any other error means that it could not be told.
//  5. Check may block while all is well, until ctx ends, in order to notice a loss at once; it then returns nil.
//  6. Deregister removes the instance. It is no error when it is not there. It never removes what another process registered under the
//     same ID afterwards, where the registry lets the driver tell.
//  7. An error says which registry (address or directory) it was and what it answered; it never contains a secret. What was attempted
//     is added by the caller.
//  8. Any service name and ID that Validate accepts must work; what the registry cannot hold is escaped, without two IDs ever meeting.
//  9. A driver owns nothing that must be closed; what it opens in a call it closes before the call returns.
type Registrar interface {
	Register(ctx context.Context, in Instance) error
	Check(ctx context.Context, in Instance) error
	Deregister(ctx context.Context, in Instance) error
}

// Watcher follows the instances of a service. The resolver runs one Watch per target of a client, and runs it again, after a jittered
// pause, whenever it returns.
//
// The contract that every driver keeps (discoverytest.Run checks it):
//
//  1. Watch blocks until ctx ends or following is no longer possible, and then returns an error that is never nil: ctx.Err() (wrapped or
//     not) in the first case. It returns promptly when ctx ends, and leaves no goroutine behind.
//  2. It calls deliver once as soon as it has an answer and again after each change, each time with the full list. It never calls it
//     concurrently, and not after it has returned. deliver may block; a driver that was blocked skips to the latest state.
//  3. A registry that cannot be reached or read, answers with an error, or answers with something that is not a list, is an error: Watch
//     returns it; the caller adds String and the service. An empty list is delivered only when the registry answered that there are no
//     instances.
//  4. It makes no use of what earlier calls learned: the resolver keeps the last good list.
//  5. An entry that cannot be read is left out and reported in Update.Invalid; it never spoils the others.
//  6. It may deliver the same list twice, in full or as Update.Unchanged, and it may leave out intermediate states, never the last.
//  7. Watch does not retry within itself without pause: after an error it returns. Waiting for a change is not retrying.
//  8. Watches are independent of each other: any number may run at once, also for the same query, and ending one does not touch another.
//  9. The slices handed to deliver belong to the receiver. Maps in them are changed by nobody any more, so that they may be delivered again.
//  10. A parameter in Query.Params that the driver does not know is an error that names it. A driver with a method CheckQuery(Query) error,
//     which does no I/O, has such targets refused when they are dialled.
//  11. Scheme is constant, lower case and valid in a URL. String says which registry this is in the words of its configuration, without
//     secrets, for example "file registry /run/keelson".
type Watcher interface {
	fmt.Stringer
	Scheme() string
	Watch(ctx context.Context, q Query, deliver func(Update)) error
}

// queryChecker is a Watcher that tells in advance which queries Watch would never answer.
type queryChecker interface{ CheckQuery(q Query) error }

// Driver is a registry that can be written and followed.
type Driver interface {
	Registrar
	Watcher
}
