package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is one PostgreSQL server with fsync on, which can be killed.
type Postgres struct {
	// Port is the server's on the loopback interface.
	Port int

	spawn                   *spawner
	bin, dir, log, password string
	as                      *syscall.SysProcAttr
	proc                    *Process
}

// errNoPostgres says what is missing.
var errNoPostgres = errors.New("find PostgreSQL: no initdb in /usr/lib/postgresql/*/bin; install it with: apt-get install postgresql")

// startPostgres makes a new server in a directory of its own and waits until it
// takes connections.
func startPostgres(ctx context.Context, spawn *spawner, logs string, port int) (*Postgres, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, errNoPostgres
	}
	dir, err := os.MkdirTemp("", "keelson-lab-postgres-") // readable for the user postgres
	if err != nil {
		return nil, err
	}
	pg := &Postgres{Port: port, spawn: spawn, bin: filepath.Dir(found[len(found)-1]), dir: dir, log: logs, password: rand.Text()}
	if err := errors.Join(pg.account(), pg.initdb()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return pg, pg.Start(ctx)
}

// account makes the server run as the user postgres when the lab is root, which
// PostgreSQL refuses to be.
func (pg *Postgres) account() error {
	pg.as = &syscall.SysProcAttr{}
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("find a user to run PostgreSQL as: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	pg.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(pg.dir, int(uid), int(gid))
}

func (pg *Postgres) initdb() error {
	pwfile := filepath.Join(pg.dir, "password")
	if err := os.WriteFile(pwfile, []byte(pg.password), 0o600); err != nil {
		return err
	}
	if c := pg.as.Credential; c != nil {
		if err := os.Chown(pwfile, int(c.Uid), int(c.Gid)); err != nil {
			return err
		}
	}
	cmd := pg.command("initdb", "-D", filepath.Join(pg.dir, "data"), "-A", "scram-sha-256", "--pwfile", pwfile, "-U", "app", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w\n%s", err, out)
	}
	return nil
}

func (pg *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(pg.bin, name), args...) //nolint:gosec // PostgreSQL's own tools
	cmd.Dir = pg.dir
	as := *pg.as
	cmd.SysProcAttr = &as
	return cmd
}

// startLimit is how long a server may take until it serves.
const startLimit = 60 * time.Second

// Start starts the server on its data and waits until it takes connections. A
// server that finds processes of a killed predecessor is started again.
func (pg *Postgres) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		var err error
		pg.proc, err = pg.spawn.start("postgres", pg.log, pg.command("postgres", "-D", filepath.Join(pg.dir, "data"), "-p", strconv.Itoa(pg.Port),
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+pg.dir,
			"-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=128MB"))
		if err != nil {
			return err
		}
		err = until(ctx, 20*time.Millisecond, func() bool {
			return ended(pg.proc) || pg.Exec(ctx, "postgres", "SELECT 1") == nil
		})
		switch {
		case err != nil:
			return fmt.Errorf("start PostgreSQL: %w\n%s", err, pg.proc.tail())
		case !ended(pg.proc):
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("start PostgreSQL: %w\n%s", err, pg.proc.tail())
		}
	}
}

// Kill kills the server and all its processes without warning.
func (pg *Postgres) Kill() {
	family := children(pg.proc.PID)
	pg.proc.Kill()
	for _, pid := range family { // each is a group of its own
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// close ends the server and removes its data.
func (pg *Postgres) close() error {
	if pg.proc != nil && !ended(pg.proc) {
		pg.proc.Signal(syscall.SIGQUIT) // at once: its data go away
		select {
		case <-pg.proc.done:
		case <-time.After(stopLimit):
			pg.Kill()
		}
	}
	return os.RemoveAll(pg.dir)
}

// DSN is the connection string of a database, at the server or at a proxy in
// front of it.
func (pg *Postgres) DSN(database string, port int) string {
	return fmt.Sprintf("postgres://app:%s@127.0.0.1:%d/%s?sslmode=disable", pg.password, port, database)
}

// Exec runs a statement in a database on a connection of its own.
func (pg *Postgres) Exec(ctx context.Context, database, sql string) error {
	conn, err := pg.Connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// Connect opens a connection to a database, past every proxy.
func (pg *Postgres) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, pg.DSN(database, pg.Port))
}
