package logs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/grpc/grpclog"
)

// RouteGRPC sends gRPC's own log to a logger: its information at debug level,
// its warnings and errors at warn, for they tell of connections, which the
// chassis mends, and never of calls. What only tells that the other end went away
// is at debug too; docs/logs.md lists it. It replaces gRPC's logger for the whole
// process and is not synchronised with gRPC: call it once, from main or before
// the first server or client is made. It must not be undone.
func RouteGRPC(l *slog.Logger) {
	grpclog.SetLoggerV2(&grpcLogger{l: l.With("log.logger", "grpc")})
}

// grpcLogger is a grpclog.LoggerV2. Fatal lines do not exit here: grpclog does.
type grpcLogger struct{ l *slog.Logger }

func (g *grpcLogger) log(level slog.Level, text func() string) {
	ctx := context.Background()
	if !g.l.Enabled(ctx, level) {
		return
	}
	said := strings.TrimSpace(text())
	if level == slog.LevelWarn && wentAway(said) {
		level = slog.LevelDebug
		if !g.l.Enabled(ctx, level) {
			return
		}
	}
	g.l.Log(ctx, level, said)
}

// wentAway tells whether a warning of gRPC says no more than that the other end
// went away. The texts are those of grpc-go v1.85.0 (server.go, and ErrConnClosing
// of internal/transport), which has no other way to tell; that a text is not among
// them any more shows as warnings.
func wentAway(said string) bool {
	return strings.Contains(said, " failed to write status: ") && strings.HasSuffix(said, "transport is closing\"")
}

func (g *grpcLogger) print(level slog.Level, args []any) {
	g.log(level, func() string { return fmt.Sprint(args...) })
}

func (g *grpcLogger) println(level slog.Level, args []any) {
	g.log(level, func() string { return fmt.Sprintln(args...) })
}

func (g *grpcLogger) printf(level slog.Level, format string, args []any) {
	g.log(level, func() string { return fmt.Sprintf(format, args...) })
}

func (g *grpcLogger) Info(args ...any)            { g.print(slog.LevelDebug, args) }
func (g *grpcLogger) Infoln(args ...any)          { g.println(slog.LevelDebug, args) }
func (g *grpcLogger) Infof(f string, args ...any) { g.printf(slog.LevelDebug, f, args) }

func (g *grpcLogger) Warning(args ...any)            { g.print(slog.LevelWarn, args) }
func (g *grpcLogger) Warningln(args ...any)          { g.println(slog.LevelWarn, args) }
func (g *grpcLogger) Warningf(f string, args ...any) { g.printf(slog.LevelWarn, f, args) }

func (g *grpcLogger) Error(args ...any)            { g.print(slog.LevelWarn, args) }
func (g *grpcLogger) Errorln(args ...any)          { g.println(slog.LevelWarn, args) }
func (g *grpcLogger) Errorf(f string, args ...any) { g.printf(slog.LevelWarn, f, args) }

func (g *grpcLogger) Fatal(args ...any)            { g.print(slog.LevelError, args) }
func (g *grpcLogger) Fatalln(args ...any)          { g.println(slog.LevelError, args) }
func (g *grpcLogger) Fatalf(f string, args ...any) { g.printf(slog.LevelError, f, args) }

// V tells gRPC not to make the lines that are verbose even for debugging.
func (g *grpcLogger) V(level int) bool {
	return level == 0 || level <= 2 && g.l.Enabled(context.Background(), slog.LevelDebug)
}
