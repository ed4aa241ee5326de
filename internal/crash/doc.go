// Package crash marks the places where a process may die and must lose
// nothing that it promised.
//
// Code calls Point with a name before and after each durable step. In an
// ordinary build Point is an empty function that the compiler removes. Built
// with `-tags crashpoints` it reads two environment variables:
//
//	DOMICILE_CRASH=name      kill this process when it passes name
//	DOMICILE_CRASH=name:3    … when it passes name for the third time
//	DOMICILE_CRASH_LIST=FILE append every name passed to FILE, one a line
//
// The kill is SIGKILL to itself: no deferred call, no buffer and no lock file
// is tidied up, exactly as in a power cut as far as the process can tell. (What
// the kernel has not written yet survives; losing that is what fsync is for,
// and no test in user space can show it.)
//
// A name is the path of what happens, `store/create/linked`: package, step,
// and what has just been done. Names never hold data of a log.
package crash
