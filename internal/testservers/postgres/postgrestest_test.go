package postgrestest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	postgrestest "github.com/keelson-dev/keelson/internal/testservers/postgres"
)

var server postgrestest.Server

func TestMain(m *testing.M) {
	code := m.Run()
	if err := server.Stop(); err != nil {
		println(err.Error())
		code = 1
	}
	if err := goleak.Find(); err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

func TestEachDatabaseIsEmptyAndSurvivesACrash(t *testing.T) {
	dsn := server.Database(t)
	exec := func(sql string) error {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), sql)
		return err
	}
	if err := exec("CREATE TABLE only_here (id int)"); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	if err := exec("SELECT * FROM only_here"); err != nil {
		t.Fatalf("committed table after a crash: %v", err)
	}
	dsn = server.Database(t)
	if err := exec("SELECT * FROM only_here"); err == nil {
		t.Fatal("a new database holds the table of another")
	}
}
