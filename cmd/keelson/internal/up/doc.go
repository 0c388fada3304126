// Package up runs a whole platform on one machine: it builds the services that
// keelson.yaml names, runs their instances as processes, waits until they are
// healthy, shows their logs, restarts what crashes and, when it is told to stop,
// drains everything in order.
//
// Every instance is a process group of its own. A Ctrl-C on the terminal
// therefore reaches up alone, which then drains the instances, the services that
// were started last first. On Linux the instances also die with up when it is
// killed outright.
package up
