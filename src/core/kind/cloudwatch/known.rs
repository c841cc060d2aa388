//! Metrics of AWS that are known well enough to say what is missing where they are asked for.

/// Metrics of one service.
pub(super) struct KnownNamespace {
    /// Its name.
    pub name: &'static str,
    /// Dimensions that a metric needs, one of these sets.
    pub dimensions: &'static [&'static [&'static str]],
    /// The only region that has them, where there is only one.
    pub region: Option<&'static str>,
}

/// The services of the ready-made groups (AWS documentation of each service, "CloudWatch metrics").
const KNOWN: &[KnownNamespace] = &[
    KnownNamespace {
        name: "AWS/ApplicationELB",
        dimensions: &[&["LoadBalancer"], &["TargetGroup", "LoadBalancer"]],
        region: None,
    },
    KnownNamespace {
        name: "AWS/NetworkELB",
        dimensions: &[&["LoadBalancer"], &["TargetGroup", "LoadBalancer"]],
        region: None,
    },
    KnownNamespace {
        name: "AWS/RDS",
        dimensions: &[
            &["DBInstanceIdentifier"],
            &["DBClusterIdentifier"],
            &["DbClusterIdentifier"],
            &["DatabaseClass"],
            &["EngineName"],
        ],
        region: None,
    },
    KnownNamespace {
        name: "AWS/DMS",
        dimensions: &[
            &["ReplicationInstanceIdentifier"],
            &["ReplicationTaskIdentifier", "ReplicationInstanceIdentifier"],
        ],
        region: None,
    },
    KnownNamespace {
        name: "AWS/S3",
        dimensions: &[&["BucketName"], &["SourceBucket", "DestinationBucket", "RuleId"]],
        region: None,
    },
    KnownNamespace { name: "AWS/CloudFront", dimensions: &[&["DistributionId", "Region"]], region: Some("us-east-1") },
    KnownNamespace {
        name: "AWS/Route53",
        dimensions: &[&["HealthCheckId"], &["HostedZoneId"]],
        region: Some("us-east-1"),
    },
    KnownNamespace {
        name: "AWS/EC2",
        dimensions: &[&["InstanceId"], &["AutoScalingGroupName"], &["ImageId"], &["InstanceType"]],
        region: None,
    },
];

/// What is known of a namespace.
pub(super) fn namespace(name: &str) -> Option<&'static KnownNamespace> {
    KNOWN.iter().find(|known| known.name == name)
}

/// What the numbers of a metric of AWS are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Events, each counted once: only their sum says how many there were.
    Events,
    /// How much there is of something: a sum over samples says nothing.
    Level,
}

/// What the numbers of a metric are, where that is known.
pub(super) fn numbers(namespace: &str, metric: &str) -> Option<Numbers> {
    let events: &[&str] = match namespace {
        "AWS/ApplicationELB" => &["RequestCount", "NewConnectionCount", "RejectedConnectionCount"],
        "AWS/CloudFront" => &["Requests"],
        "AWS/S3" => &["OperationsFailedReplication", "4xxErrors", "5xxErrors"],
        _ => &[],
    };
    let levels: &[&str] = match namespace {
        "AWS/ApplicationELB" => &["TargetResponseTime", "HealthyHostCount", "UnHealthyHostCount"],
        "AWS/RDS" => &[
            "CPUUtilization",
            "DatabaseConnections",
            "FreeableMemory",
            "FreeStorageSpace",
            "ReplicaLag",
            "AuroraReplicaLag",
            "ReadLatency",
            "WriteLatency",
            "CommitLatency",
            "DiskQueueDepth",
            "OldestReplicationSlotLag",
        ],
        "AWS/DMS" => &["CDCLatencySource", "CDCLatencyTarget", "CDCIncomingChanges"],
        "AWS/S3" => &["ReplicationLatency", "BytesPendingReplication", "OperationsPendingReplication"],
        "AWS/CloudFront" => &["5xxErrorRate", "4xxErrorRate", "TotalErrorRate", "CacheHitRate", "OriginLatency"],
        "AWS/EC2" => &["CPUUtilization", "CPUCreditBalance", "StatusCheckFailed"],
        "AWS/Route53" => &["HealthCheckStatus", "HealthCheckPercentageHealthy"],
        _ => &[],
    };
    if events.contains(&metric) || (namespace == "AWS/ApplicationELB" && metric.starts_with("HTTPCode_")) {
        Some(Numbers::Events)
    } else if levels.contains(&metric) {
        Some(Numbers::Level)
    } else {
        None
    }
}
