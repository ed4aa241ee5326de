package log

const roleVariable = "DOMICILE_LOG_TEST_ROLE"

func play(role string) int { return 2 }
