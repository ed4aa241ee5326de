// Package house holds the rules of this repository as tests: which room may import which, which packages are pure,
// how long a file may be, what may not stand in a file, that every direct dependency is accounted for.
//
// In come the files of the repository; out comes a failed test that names the file, the rule and what to do. Rules are
// tables at the top of each test file. Each rule is also shown a made-up breach, so that a rule which sees nothing
// does not pass for one that found nothing.
//
// Its subfolder testrun is the test runner of `make test`.
package house
