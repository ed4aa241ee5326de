// Package config is the configuration of a data directory: which cells it holds and how they work. It lies in
// DIR/domicile.yaml, is written by `domicile init` and may be edited; an unknown key is an error that names its line.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
)

// File is the name of the configuration in a data directory.
const File = "domicile.yaml"

// Config is what a process needs to know of the cells that it serves.
type Config struct {
	Ledger    string            `yaml:"ledger"`              // first part of every origin
	Collector string            `yaml:"collector"`           // cell of the collector, where no flag says another
	Cells     []Cell            `yaml:"cells"`               //
	Homes     map[string]string `yaml:"homes,omitempty"`     // provider:account → cell, for events that do not say where they belong
	Commit    Commit            `yaml:"commit,omitempty"`    //
	Publish   Interval          `yaml:"publish,omitempty"`   // how often a busy log publishes: 1s
	Batch     Interval          `yaml:"batch,omitempty"`     // how often a busy log is bound into the control log: 1m
	Skew      Interval          `yaml:"skew,omitempty"`      // how far clocks may be apart, not less than when a cell was made: 10m
	Window    int               `yaml:"window,omitempty"`    // uids held to recognize repeats: 1000000
	Heartbeat Interval          `yaml:"heartbeat,omitempty"` // of a live component: 1m
	Index     Index             `yaml:"index,omitempty"`     //
}

// Index is the engine that searches.
type Index struct {
	Memory int64 `yaml:"memory,omitempty"` // bytes that it may use: 2 GiB
}

// Cell is one jurisdiction's pipeline.
type Cell struct {
	Jurisdiction string `yaml:"jurisdiction"`
	Shards       int    `yaml:"shards"` // events logs; fixed once the cell is made
}

// Commit says when a commit is full. Zero values mean the defaults.
type Commit struct {
	Records int      `yaml:"records,omitempty"` // 8192
	Bytes   int      `yaml:"bytes,omitempty"`   // 16 MiB
	Age     Interval `yaml:"age,omitempty"`     // 1s
}

// Interval is a duration written as 90s, 5m or 1h.
type Interval time.Duration

// MarshalYAML writes the interval as a string.
func (d Interval) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// UnmarshalYAML reads what time.ParseDuration takes; it must not be negative.
func (d *Interval) UnmarshalYAML(src []byte) error {
	var s string
	if err := yaml.Unmarshal(src, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 90s, 5m or 1h", s)
	}
	*d = Interval(v)
	return nil
}

// ErrMissing is wrapped by the error for a data directory without a configuration.
var ErrMissing = errors.New("there is no configuration")

// Load reads the configuration of a data directory.
func Load(dir string) (*Config, error) {
	path := filepath.Join(dir, File)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: make the data directory with domicile init --jurisdiction …, or name another with --data", path, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	c := new(Config)
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Config) check() error {
	if c.Ledger == "" || len(c.Cells) == 0 {
		return errors.New("ledger and cells must be given")
	}
	seen := make(map[string]bool)
	for _, cell := range c.Cells {
		if cell.Jurisdiction == "" || cell.Shards < 1 {
			return errors.New("every cell needs a jurisdiction and at least one shard")
		}
		if seen[cell.Jurisdiction] {
			return fmt.Errorf("cell %s stands there twice", cell.Jurisdiction)
		}
		seen[cell.Jurisdiction] = true
	}
	if !seen[c.Collector] {
		return fmt.Errorf("collector: %q is none of the cells", c.Collector)
	}
	return nil
}

// Find returns a cell by its jurisdiction.
func (c *Config) Find(jurisdiction string) (*Cell, bool) {
	for i := range c.Cells {
		if c.Cells[i].Jurisdiction == jurisdiction {
			return &c.Cells[i], true
		}
	}
	return nil, false
}

// Names are the jurisdictions of all cells, in their order.
func (c *Config) Names() (names []string) {
	for _, cell := range c.Cells {
		names = append(names, cell.Jurisdiction)
	}
	return names
}

// Encode is the text of the file.
func (c *Config) Encode() ([]byte, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	head := "# domicile: the cells of this data directory. docs/operations.md explains every key.\n"
	return append([]byte(head), text...), nil
}
