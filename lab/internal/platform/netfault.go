package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// chainPrefix begins the names of the lab's chains of iptables; the PID follows.
const chainPrefix = "KEELSONLAB"

// Network drops packets on the loopback interface, with iptables, in a chain of
// the lab's own.
type Network struct{ chain string }

// NewNetwork makes the chain. The error says what the machine lacks. Close it.
func NewNetwork() (*Network, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("dropping packets needs root")
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		return nil, errors.New("dropping packets needs iptables")
	}
	sweepChains()
	n := &Network{chain: chainPrefix + strconv.Itoa(os.Getpid())}
	if err := n.run("-N", n.chain); err != nil {
		return nil, err
	}
	if err := n.run("-I", "INPUT", "-i", "lo", "-j", n.chain); err != nil {
		return nil, errors.Join(err, n.run("-X", n.chain))
	}
	probe := []string{"-A", n.chain, "-p", "tcp", "--dport", "1", "-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "DROP"}
	if err := n.run(probe...); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, n.Heal()
}

// sweepChains removes what a killed lab left behind.
func sweepChains() {
	out, _ := exec.CommandContext(context.Background(), "iptables", "-S").Output()
	for line := range strings.Lines(string(out)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "-N "+chainPrefix)
		pid, err := strconv.Atoi(name)
		if !ok || err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		_ = (&Network{chain: chainPrefix + name}).Close()
	}
}

// To drops packets on their way to a port.
func (n *Network) To(port int) error {
	return n.run("-A", n.chain, "-p", "tcp", "--dport", strconv.Itoa(port), "-j", "DROP")
}

// From drops packets that come from a port.
func (n *Network) From(port int) error {
	return n.run("-A", n.chain, "-p", "tcp", "--sport", strconv.Itoa(port), "-j", "DROP")
}

// Lose drops a share of the packets to and from a port at random.
func (n *Network) Lose(port int, share float64) error {
	for _, side := range []string{"--dport", "--sport"} {
		if err := n.run("-A", n.chain, "-p", "tcp", side, strconv.Itoa(port), "-m", "statistic", "--mode", "random", "--probability", fmt.Sprintf("%.4f", share), "-j", "DROP"); err != nil {
			return err
		}
	}
	return nil
}

// Heal lets all packets pass.
func (n *Network) Heal() error { return n.run("-F", n.chain) }

// Close lets all packets pass and removes the chain.
func (n *Network) Close() error {
	return errors.Join(n.run("-F", n.chain), n.run("-D", "INPUT", "-i", "lo", "-j", n.chain), n.run("-X", n.chain))
}

func (n *Network) run(args ...string) error {
	if out, err := exec.CommandContext(context.Background(), "iptables", append([]string{"-w"}, args...)...).CombinedOutput(); err != nil { //nolint:gosec // ports and names of our own
		return fmt.Errorf("run iptables %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
