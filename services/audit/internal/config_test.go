package internal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/audit/internal"
)

func TestSettingsThatDoNotFitTogetherAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *internal.Config)
		want   []string // what the error names; none: there is no error
	}{
		{"as they are", func(*internal.Config) {}, nil},
		{"no file", func(c *internal.Config) { c.Store.SQLite.Path = "" }, []string{"store.sqlite.path"}},
		{"no database", func(c *internal.Config) { c.Store.Driver = "postgres" }, []string{"store.postgres.dsn"}},
		{"a database, and no file", func(c *internal.Config) {
			c.Store.Driver, c.Store.Postgres.DSN, c.Store.SQLite.Path = "postgres", "postgres://host/audit", ""
		}, nil},
		{"streams that outlive their connections, and no file", func(c *internal.Config) {
			c.Follow.MaxAge, c.Store.SQLite.Path = c.GRPC.ConnectionGrace, ""
		}, []string{"follow.max_age", "store.sqlite.path"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := internal.DefaultConfig()
			c.Store.Driver, c.Store.SQLite.Path, c.Follow.MaxAge = "sqlite", "audit.db", 10*time.Minute
			test.change(&c)
			err := c.Validate()
			if (err == nil) != (test.want == nil) {
				t.Fatalf("the error is %v; want one of %v", err, test.want)
			}
			for _, name := range test.want {
				if !strings.Contains(err.Error(), name+": ") {
					t.Errorf("the error is %v; want that it names %s", err, name)
				}
			}
		})
	}
}
