package normalize

// activityOf says what an operation does, by its verb: the first word of a CamelCase name. Only whole words count, so
// that GetBucketReplication is not a "Replicat…" and DescribeUpdates no update. What the table does not know is Other.
func activityOf(name []byte) int {
	word, rest := firstWord(name)
	if len(word) == 5 && (string(word) == "Batch" || string(word) == "batch") && len(rest) > 0 { // BatchGetItem
		word, _ = firstWord(rest)
	}
	return verb(word)
}

// lastVerb is activityOf for names that end in their verb: SecretGet, VaultDelete.
func lastVerb(name []byte) int {
	i := len(name)
	for i > 0 && !(name[i-1] >= 'A' && name[i-1] <= 'Z') {
		i--
	}
	if i == 0 {
		return other
	}
	return verb(name[i-1:])
}

func firstWord(name []byte) (word, rest []byte) {
	i := 1
	for i < len(name) && !(name[i] >= 'A' && name[i] <= 'Z') && name[i] != ' ' && name[i] != '_' {
		i++
	}
	if i > len(name) {
		return nil, nil
	}
	return name[:i], name[i:]
}

func verb(word []byte) int {
	var lower [16]byte
	if len(word) == 0 || len(word) > len(lower) {
		return other
	}
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	if a, ok := verbs[string(lower[:len(word)])]; ok {
		return a
	}
	return other
}

// verbs is the table of what the first word of an operation means. It only grows.
var verbs = map[string]int{
	"allocate": create, "clone": create, "copy": create, "create": create, "generate": create, "import": create,
	"insert": create, "issue": create, "launch": create, "publish": create, "register": create, "request": create,
	"restore": create, "run": create, "upload": create,

	"check": read, "describe": read, "download": read, "export": read, "fetch": read, "get": read, "head": read,
	"list": read, "lookup": read, "preview": read, "query": read, "read": read, "scan": read, "search": read,
	"select": read, "validate": read, "view": read, "watch": read,

	"accept": update, "add": update, "apply": update, "associate": update, "attach": update, "authorize": update,
	"cancel": update, "change": update, "detach": update, "disable": update, "disassociate": update, "enable": update,
	"failover": update, "grant": update, "modify": update, "move": update, "patch": update, "promote": update,
	"put": update, "reboot": update, "remove": update, "rename": update, "replace": update, "reset": update,
	"resize": update, "restart": update, "resume": update, "rotate": update, "set": update, "start": update,
	"stop": update, "suspend": update, "tag": update, "undelete": update, "untag": update, "update": update, "write": update,

	"delete": remove, "deregister": remove, "destroy": remove, "purge": remove, "revoke": remove, "terminate": remove,
}
