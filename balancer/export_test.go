package balancer

// CheckHealthWith is CheckHealth with dial options.
var CheckHealthWith = checkHealth
