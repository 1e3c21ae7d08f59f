package main

func faultRows() section {
	return section{"Faults of Reloader: correctness", "The numbers are only for reference.", []row{
		{"1. a list that fails counts as no workloads", better, "nothing is listed for a change; a watch that breaks is begun again, and readiness reports it", []string{"TestAnEditIsOnePatchAndOneEvent", "TestTroubleWithTheAPIServer"}},
		{"2. the first workload that fails stops all later ones", better, "each is tried again for itself alone", []string{"TestARefusalConcernsOneWorkload", "TestAWorkloadThatAdmissionRefusesIsRetriedForItselfAlone"}},
		{"3. a pause-period that cannot be read blocks others", better, "a Warning event on its workload", []string{"TestWhatCannotBeUnderstood", "TestPauses"}},
		{"4. a repetition does finished work again", better, "what is written is compared with what is there", []string{"TestWhatIsNotInTheCacheYetIsNotWrittenTwice", "TestConfigHashThatIsThereAlready", "TestAJobIsStartedOnceForEachContent"}},
		{"5. an older event overwrites a newer hash", better, "the queue has names of workloads and no content", []string{"TestARetryDecidesAgain"}},
		{"6. the queue does not join equal items", better, "it does", []string{"TestEditsInARowAreOneRollout"}},
		{"7. what happens while it is down is lost", better, "it is found by comparing with the recorded baseline", []string{"TestOnlyChangesRollThroughInstallStopStartAndUpgrade", "TestWhatChangesWhileUninstalledIsAppliedAfterANewInstallWithTheSameKey"}},
		{"8. ignoring one kind of source switches other options off", better, "they have nothing to do with each other", []string{"TestKindsOfSourcesThatAreIgnored"}},
		{"9. what a list brings at the start passes for new in another namespace", better, "nothing is decided from the kind of an event", []string{"TestAKindThatIsServedIsCached", "TestRestartingWritesNothing"}},
		{"10. a deletion that was missed matches every workload", better, "deletions that were missed are those of the object that went", []string{"TestHistoryForgetsWhatIsGone", "TestRuleAppearedOrGone"}},
		{"11. reload-on-delete has no effect unless there was a rollout before", better, "it has", []string{"TestSourcesThatAppearOrDisappearRollWhenAskedTo"}},
		{"12. two contents with one hash, two names with one variable, plain SHA-1", better, "framed and keyed digests; a config hash of both", []string{"TestContentIsFramed", "TestConfigHashOfNamesThatCollide", "TestDigesterKeepsItsKey"}},
		{"13. `a|b` is not held together, no patterns in exclude lists, a bad pattern ends the process", better, "all three", []string{"TestReloaderCases", "TestABadValueConcernsItself"}},
		{"14. only the first volume of a source counts", better, "all count", []string{"TestUsages", "TestScopes"}},
		{"15. exclude, ignore, pause-period and rollout-strategy have no effect in places where one writes them", better, "they have", []string{"TestPolicyOfTheWholeWorkload", "TestPauses", "TestRolloutStrategy"}},
		{"16. a Rollout loses fields, `restart` stores nothing, `workloadRef` is skipped", better, "none of it", []string{"TestAPatchByPositionsTouchesNothingElse", "TestARestartIsOneMergePatch", "TestAWorkloadMayRunTheTemplateOfAnother"}},
		{"17. finished Jobs run again, and a re-creation that fails loses a Job", better, "what has ended is left alone; a placeholder keeps the manifest until the new Job is there", []string{"TestAJobThatHasEndedIsNotRunAgain", "TestAJobIsRecreatedWhateverHappens", "TestAJobThatCannotBeRecreatedGoesOn"}},
		{"18. a CronJob runs although it is suspended, and `concurrencyPolicy` does not count", better, "neither", []string{"TestCronJobs", "TestJobsThatRunAreReplacedWhereThePolicySaysSo", "TestAChangeStartsAJobOfACronJob"}},
		{"19. pauses are forgotten, never end, or race", better, "a pause is a comparison with a time that is in the object", []string{"TestThePausePeriodOutlivesARestart", "TestAPauseOfReloaderIsReconciledWhenItEnds"}},
		{"20. options are overwritten from several goroutines", better, "they are values; every test runs with the race detector", []string{"TestLoadReadsNothingFromTheProcess"}},
		{"21. the label selector stops CSI reloads", better, "it selects classes, and statuses are read for all that it selects", []string{"TestOneRotationOfTheSecretsStoreDriverIsOneRollout", "docs/secrets-store-csi.md"}},
		{"22. a SecretProviderClass is fetched once per workload", better, "it is cached: no workload costs a request", []string{"TestOneRotationOfTheSecretsStoreDriverIsOneRollout"}},
	}}
}

func operationFaults() section {
	return section{"Faults of Reloader: operation and security", "", []row{
		{"23. profiles on the metrics port", better, "on their own address, if asked for", []string{"TestEndpoints", "TestProfiles"}},
		{"24. five requests per second, one worker, new clients for each event", better, "the server limits, eight workers, one client", []string{"TestWhatIsAskedOfTheAPIServer", "TestPacing"}},
		{"25. all Secrets in memory, whatever is ignored", better, "digests; what is left out is not read", []string{"TestNoValueOfASourceStays", "TestMemoryDoesNotGrowWithTheSizeOfValues", "TestWhatIsLeftOutIsNotAskedFor"}},
		{"26. readiness says nothing, a replica that lost the lease stays up, no handling of signals, one lease for all releases", better, "each is as one would expect", []string{"TestReadinessSaysWhatIsMissing", "TestStoppingBeforeTheWorkBegins", "TestALeaderThatIsStoppedHandsOverAtOnce", "TestObjectsBelongTogether"}},
		{"27. rights on leases and Secrets everywhere", better, "leases in the own namespace only; with `--namespaces` no ClusterRole", []string{"TestProgramsMayDoThisAndNoMore", "TestNoControllerClusterRoleForSomeNamespaces"}},
		{"28. metrics that count twice, know no type of event, grow unseen, or measure something else", better, "they are correct", []string{"TestReloadersMetricsAreCorrect", "TestTheSeriesOfNamespacesIsLeftOutUnlessItIsAskedFor"}},
		{"29. the webhook gets no content, annotations do not count, the answer does not count", better, "all three", []string{"TestAWebhookIsCalledInsteadOfRolling", "TestACallThatIsRefusedIsNotRecorded"}},
		{"30. alerts block, and 202 is an error", better, "they are sent in the background; 2xx is a success", []string{"TestSendingNeverBlocks", "TestPost"}},
		{"31. `--help` needs a cluster", better, "it needs nothing", []string{"TestHelpAndVersionAreAnswersAndNotErrors"}},
		{"32. variables that are not needed stay", better, "they go with the next rollout", []string{"TestAStaleVariableGoes"}},
	}}
}

func chartFaults() section {
	return section{"Faults of Reloader: chart and documentation", "", []row{
		{"33. `webhookUrl` needs custom annotations", better, "each value has its effect for itself", []string{"TestEveryValueHasAnEffect", "TestControllerAcceptsWhatTheChartRenders"}},
		{"34. replicas without election crash", better, "more than one replica turns the election on", []string{"TestReplicas"}},
		{"35. `ALERT_WEBHOOK_PROXY` is referenced and not there", better, "`extraEnv` takes what it is given", []string{"TestEveryValueHasAnEffect"}},
		{"36. ignoring both kinds renders an empty list of resources", better, "the rule is left out", []string{"TestProgramsMayDoThisAndNoMore", "TestViolations"}},
		{"37. rights on Rollouts depend on the cluster at the time of rendering", better, "they depend on values only", []string{"TestTemplatesDependOnValuesOnly"}},
		{"38. values without effect", better, "there are none", []string{"TestEveryValueHasAnEffect"}},
		{"39. the plain manifest lags behind", better, "`make manifests` renders the chart", []string{"TestManifests"}},
		{"40. wrong documentation", better, "what is written here is compared with the program where that can be: keys, reasons, presets, settings, this page", []string{"TestEveryKeyIsDocumented", "TestEveryReasonIsDocumented", "TestThePageIsTheTable"}},
	}}
}
