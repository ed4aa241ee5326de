package main

import (
	"fmt"

	"domicile.dev/domicile/ledger/log"
)

type logAdoptCmd struct {
	dataFlag
	here
	Yes bool `help:"Say that the original is gone for good. A log that goes on in two places forks, and every auditor will see it." required:""`
}

func (*logAdoptCmd) Help() string {
	return `Example (after restoring a backup):
  domicile log adopt --data restored --yes

A copy of a data directory refuses to be written to, because two of them would fork the logs. This lets it.`
}

func (cmd *logAdoptCmd) Run(g *global) error {
	d, err := cmd.open()
	if err != nil {
		return err
	}
	defer d.lock.Close()
	adopted := 0
	for i := range d.config.Cells {
		c, err := d.readCell(&d.config.Cells[i])
		if err != nil {
			return err
		}
		for _, origin := range c.origins() {
			cfg, err := c.logConfig(g.ctx, origin)
			if err != nil {
				return err
			}
			done, err := log.Adopt(g.ctx, cfg)
			if err != nil {
				return err
			}
			if done {
				adopted++
				fmt.Fprintf(g.out, "%s goes on here.\n", origin)
			}
		}
	}
	if adopted == 0 {
		fmt.Fprintln(g.out, "All logs live here already.")
	}
	return nil
}
