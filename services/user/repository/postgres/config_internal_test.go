package postgres

import "testing"

// TestStatementsAreNotCompiled: the planner's guesses about the queue of events
// make PostgreSQL compile statements of milliseconds, which takes it 200 ms each.
func TestStatementsAreNotCompiled(t *testing.T) {
	s, err := New(Config{DSN: "postgres://app@127.0.0.1/app"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.poolCfg.ConnConfig.RuntimeParams["jit"]; got != "off" {
		t.Errorf("jit is %q; want off", got)
	}
}
