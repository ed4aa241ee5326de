package engine

import "time"

// WithPorts has the engine take its ports from a test.
func (c Config) WithPorts(ports func() (string, error)) Config {
	c.ports = ports
	return c
}

// Pause is pause.
func Pause(failures int, chance float64) time.Duration { return pause(failures, chance) }
