package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/ebitengine/purego"
)

// run calls the library with the arguments. It returns when the queries among them have ended, and says why.
func run(library string, args []string) error {
	lib, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load the engine: %w", err)
	}
	var (
		queryCmdline func(argc int32, argv **byte) uintptr // chdb_result *
		resultError  func(result uintptr) string           // NULL, hence "", without one
	)
	for name, function := range map[string]any{"chdb_query_cmdline": &queryCmdline, "chdb_result_error": &resultError} {
		if err := bind(lib, name, function); err != nil {
			return fmt.Errorf("%s: %w", library, err)
		}
	}

	// C strings, and the NULL after the last one. The library keeps pointers to them while it runs.
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		argv = append(argv, &append([]byte(arg), 0)[0])
	}
	argv = append(argv, nil)
	var pin runtime.Pinner
	defer pin.Unpin()
	for _, arg := range argv[:len(args)] {
		pin.Pin(arg)
	}
	pin.Pin(&argv[0])

	result := queryCmdline(int32(len(args)), &argv[0])
	if result == 0 {
		return errors.New("the engine gave no result")
	}
	if message := resultError(result); message != "" {
		return errors.New(message)
	}
	return errors.New("the engine has ended")
}

// bind looks a function up. The registration panics on what it does not know, but only on the Go side of it, which is
// fixed above.
func bind(lib uintptr, name string, function any) error {
	symbol, err := purego.Dlsym(lib, name)
	if err != nil {
		return fmt.Errorf("is not a libchdb that fits: %w", err)
	}
	purego.RegisterFunc(function, symbol)
	return nil
}
