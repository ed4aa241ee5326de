package main

type logCmd struct {
	List    logListCmd    `cmd:"" help:"List the logs of the cells."`
	Status  logStatusCmd  `cmd:"" help:"Show where the data lies, by jurisdiction and region, and how each log stands."`
	Verify  logVerifyCmd  `cmd:"" help:"Check every byte of the logs, as domicile-verify log does."`
	Orphans logOrphansCmd `cmd:"" help:"List payloads that no commit names."`
	Move    logMoveCmd    `cmd:"" help:"Take the logs to another directory, where they go on."`
	Adopt   logAdoptCmd   `cmd:"" help:"Let the logs of a restored copy go on here, once the original is gone for good."`
}
