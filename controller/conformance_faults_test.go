package main

func faultRows() section {
	return section{"Faults of Reloader: correctness", "The numbers are for reference only.", []row{
		{"1. a list that fails counts as no workloads", better, "inpod lists nothing for a change; it restarts a watch that breaks, and readiness reports it", []string{"TestAnEditIsOnePatchAndOneEvent", "TestTroubleWithTheAPIServer"}},
		{"2. the first workload that fails stops all later ones", better, "each workload is retried for itself alone", []string{"TestARefusalConcernsOneWorkload", "TestAWorkloadThatAdmissionRefusesIsRetriedForItselfAlone"}},
		{"3. a pause-period that cannot be read blocks others", better, "a Warning event on its workload reports it", []string{"TestWhatCannotBeUnderstood", "TestPauses"}},
		{"4. a retry repeats finished work", better, "inpod compares what it would write with what is there", []string{"TestWhatIsNotInTheCacheYetIsNotWrittenTwice", "TestConfigHashThatIsThereAlready", "TestAJobIsStartedOnceForEachContent"}},
		{"5. an older event overwrites a newer hash", better, "the queue holds names of workloads and no content", []string{"TestARetryDecidesAgain"}},
		{"6. the queue does not merge equal items", better, "it merges them", []string{"TestEditsInARowAreOneRollout"}},
		{"7. a change while it is down is lost", better, "the comparison with the recorded baseline finds it", []string{"TestOnlyChangesRollThroughInstallStopStartAndUpgrade", "TestWhatChangesWhileUninstalledIsAppliedAfterANewInstall"}},
		{"8. ignoring one kind of source switches other options off", better, "these options are independent", []string{"TestKindsOfSourcesThatAreIgnored"}},
		{"9. the first list of one namespace counts as new objects in another", better, "no decision depends on the type of an event", []string{"TestAKindThatIsServedIsCached", "TestRestartingWritesNothing"}},
		{"10. a deletion that was missed matches every workload", better, "a missed deletion matches only the workloads of the deleted object", []string{"TestLastSeenForgetsDeletedObjects", "TestRuleAppearedOrGone"}},
		{"11. reload-on-delete has no effect unless there was a rollout before", better, "it always has an effect", []string{"TestSourcesThatAppearOrDisappearRollWhenAskedTo"}},
		{"12. two contents with one hash, two names with one variable, plain SHA-1", better, "digests are framed and keyed; the config hash covers both", []string{"TestContentIsFramed", "TestConfigHashOfNamesThatCollide", "TestDigesterKeepsItsKey"}},
		{"13. `a|b` is not one pattern, exclude lists take no patterns, a bad pattern ends the process", better, "`a|b` is one pattern, exclude lists take patterns, and a bad pattern is reported", []string{"TestReloaderCases", "TestABadValueConcernsItself"}},
		{"14. only the first volume of a source counts", better, "all volumes count", []string{"TestUsages", "TestScopes"}},
		{"15. exclude, ignore, pause-period and rollout-strategy have no effect in places where users write them", better, "they have an effect there", []string{"TestPolicyOfTheWholeWorkload", "TestPauses", "TestRolloutStrategy"}},
		{"16. a Rollout loses fields, `restart` stores nothing, `workloadRef` is skipped", better, "no field is lost, a restart is recorded, and `workloadRef` is followed", []string{"TestAPatchByPositionsTouchesNothingElse", "TestARestartIsOneMergePatch", "TestAWorkloadMayRunTheTemplateOfAnother"}},
		{"17. finished Jobs run again, and a re-creation that fails loses a Job", better, "inpod leaves finished Jobs alone; a placeholder keeps the manifest until the new Job exists", []string{"TestAJobThatHasEndedIsNotRunAgain", "TestAJobIsRecreatedWhateverHappens", "TestAJobThatCannotBeRecreatedGoesOn"}},
		{"18. a CronJob runs although it is suspended, and `concurrencyPolicy` does not count", better, "a suspended one starts nothing, and `concurrencyPolicy` counts", []string{"TestCronJobs", "TestJobsThatRunAreReplacedWhereThePolicySaysSo", "TestAChangeStartsAJobOfACronJob"}},
		{"19. pauses are forgotten, never end, or race", better, "a pause is a comparison with a time that is in the object", []string{"TestThePausePeriodOutlivesARestart", "TestAPauseOfReloaderIsReconciledWhenItEnds"}},
		{"20. several goroutines overwrite options", better, "options are values; every test runs with the race detector", []string{"TestLoadReadsNothingFromTheProcess"}},
		{"21. the label selector stops CSI reloads", better, "it selects classes, and inpod reads the statuses of all that it selects", []string{"TestOneRotationOfTheSecretsStoreDriverIsOneRollout", "docs/secrets-store-csi.md"}},
		{"22. a SecretProviderClass is fetched once per workload", better, "it is cached: no workload costs a request", []string{"TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
	}}
}

func operationFaults() section {
	return section{"Faults of Reloader: operation and security", "", []row{
		{"23. profiles are on the metrics port", better, "they have their own address, and are off by default", []string{"TestEndpoints", "TestProfiles"}},
		{"24. five requests per second, one worker, new clients for each event", better, "the server sets the limit; there are eight workers and one client", []string{"TestWhatIsAskedOfTheAPIServer", "TestPacing"}},
		{"25. all Secrets are in memory, also ignored ones", better, "memory holds digests; ignored Secrets are not read", []string{"TestNoValueOfASourceStays", "TestMemoryDoesNotGrowWithTheSizeOfValues", "TestWhatIsLeftOutIsNotAskedFor"}},
		{"26. readiness says nothing, a replica that lost the lease stays up, signals are not handled, all releases share one lease", better, "readiness says what is missing, a signal leads to a clean stop, a leader that is stopped hands over at once, and each release has a lease of its own", []string{"TestReadinessSaysWhatIsMissing", "TestStoppingBeforeTheWorkBegins", "TestALeaderThatIsStoppedHandsOverAtOnce", "TestObjectsBelongTogether"}},
		{"27. rights on leases and Secrets everywhere", better, "rights on leases are in inpod's own namespace only; with `--namespaces` there is no ClusterRole", []string{"TestProgramsMayDoThisAndNoMore", "TestNoControllerClusterRoleForSomeNamespaces"}},
		{"28. metrics count twice, have no event type, grow unnoticed, or measure something else", better, "they are correct", []string{"TestReloadersMetricsAreCorrect", "TestTheSeriesOfNamespacesIsLeftOutUnlessItIsAskedFor"}},
		{"29. the webhook does not learn what changed, annotations do not count, the answer does not count", better, "the call says what changed, and annotations and the answer count", []string{"TestAWebhookIsCalledInsteadOfRolling", "TestACallThatIsRefusedIsNotRecorded"}},
		{"30. alerts block, and 202 is an error", better, "they are sent in the background; 2xx is a success", []string{"TestSendingNeverBlocks", "TestPost"}},
		{"31. `--help` needs a cluster", better, "it needs no cluster", []string{"TestHelpAndVersionAreAnswersAndNotErrors"}},
		{"32. variables that are not needed stay", better, "the next rollout removes them", []string{"TestAStaleVariableGoes"}},
	}}
}

func chartFaults() section {
	return section{"Faults of Reloader: chart and documentation", "", []row{
		{"33. `webhookUrl` needs custom annotations", better, "each value has its effect by itself", []string{"TestEveryValueHasAnEffect", "TestControllerAcceptsWhatTheChartRenders"}},
		{"34. replicas without election crash", better, "more than one replica turns the election on", []string{"TestReplicas"}},
		{"35. `ALERT_WEBHOOK_PROXY` is referenced and does not exist", better, "`extraEnv` sets any variable", []string{"TestEveryValueHasAnEffect"}},
		{"36. ignoring both kinds renders an empty list of resources", better, "the rule is left out", []string{"TestProgramsMayDoThisAndNoMore", "TestViolations"}},
		{"37. rights on Rollouts depend on the cluster at the time of rendering", better, "rights depend on values only", []string{"TestTemplatesDependOnValuesOnly"}},
		{"38. values without effect", better, "there are none", []string{"TestEveryValueHasAnEffect"}},
		{"39. the plain manifest lags behind", better, "`make manifests` renders the chart", []string{"TestManifests"}},
		{"40. wrong documentation", better, "tests compare the documentation with the program where they can: keys, reasons, presets, settings, this page", []string{"TestEveryKeyIsDocumented", "TestEveryReasonIsDocumented", "TestThePageIsTheTable"}},
	}}
}
