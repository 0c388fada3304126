package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// crashEnv names the database of the child process that writes until it is
// killed.
const crashEnv = "KEELSONTEST_CRASH_DB"

// TestChildThatWrites is the child: it creates users and acknowledges each on
// its standard output. It does nothing in a normal run.
func TestChildThatWrites(t *testing.T) {
	path := os.Getenv(crashEnv)
	if path == "" {
		return // it is the child of TestNoAcknowledgedWriteIsLostByKill
	}
	s := open(t, path, time.Now)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("u-%d-%d", os.Getpid(), i)
		items := []repository.ImportItem{{Sequence: int64(i), User: repository.User{ID: id + "-i"}}}
		_, err := s.Create(t.Context(), repository.User{ID: id}, repository.Write{Request: &repository.Request{ID: id, Method: "m"}})
		if err == nil {
			_, err = s.Import(t.Context(), repository.ImportBatch{ID: id, Items: items})
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	}
}

func TestNoAcknowledgedWriteIsLostByKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	var acknowledged []string
	for range 10 {
		// two processes write; both are killed, at no particular moment
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		acks := make(chan []string, 2)
		for n := range 2 {
			go func() { acks <- writeUntilKilled(ctx, t, path, 20+n*15) }()
		}
		acknowledged = append(acknowledged, <-acks...)
		acknowledged = append(acknowledged, <-acks...)
		cancel()
	}
	checkIntegrity(t, path)
	s := open(t, path, time.Now)
	defer s.Close()
	inStream := map[string]bool{}
	for after := int64(0); ; {
		evs, err := s.Events(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(evs) == 0 {
			break
		}
		for _, ev := range evs {
			if ev.Revision != after+1 {
				t.Fatalf("revision %d follows %d", ev.Revision, after)
			}
			after = ev.Revision
			inStream[ev.User.ID] = true
		}
	}
	for _, id := range acknowledged {
		for _, id := range []string{id, id + "-i"} {
			if _, err := s.Get(t.Context(), id); err != nil || !inStream[id] {
				t.Errorf("acknowledged user %s: %v, in the stream: %v", id, err, inStream[id])
			}
		}
	}
	t.Logf("%d acknowledged writes, all there", 2*len(acknowledged))
}

// writeUntilKilled runs a child, kills it after n acknowledgements, and
// returns all that it gave.
func writeUntilKilled(ctx context.Context, t *testing.T, path string, n int) []string {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildThatWrites$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Error(err)
		return nil
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return nil
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, lines.Text())
		if len(ids) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("the child was not killed: %v; it wrote %q", err, ids)
	}
	return ids
}

func checkIntegrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var result string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&result); err != nil || result != "ok" {
		t.Fatalf("integrity_check: %q, %v", result, err)
	}
}
