// Package call calls any method of any running service, with JSON in and out.
// What a method looks like comes from the server's reflection or from a
// descriptor set; the call goes through the chassis's client, with its
// discovery, deadlines and retries.
package call
