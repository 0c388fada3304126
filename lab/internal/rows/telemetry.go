package rows

func telemetryRows() []Row { return nil }
