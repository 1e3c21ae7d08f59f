package preset

// namedGrammar is that of BIND 9. Of its options, -c and -t (chroot) say which files it reads.
func namedGrammar() Grammar {
	return Grammar{Options: Getopt("46A:c:Cd:D:E:fFgi:l:L:M:m:n:N:p:P:sS:t:T:U:u:vVx:X:", "ct", ""), Joined: true}
}

// unboundGrammar is that of Unbound.
func unboundGrammar() Grammar {
	return Grammar{Options: Getopt("c:dhpvV", "c", "c"), Joined: true}
}
