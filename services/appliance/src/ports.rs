//! Which service listens where.

/// The services in the order in which `--port-base` numbers them, with their usual ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Identity,
    Swift,
    S3,
    Metrics,
    Image,
    Block,
    Compute,
    Placement,
    Network,
    Metadata,
    Nbd,
    Console,
}

/// The ports, as the help shows them.
pub(crate) fn list() -> String {
    let line = |((service, usual), place): (&(Service, u16), usize)| {
        let note = if matches!(service, Service::Identity | Service::Swift | Service::S3 | Service::Metrics) {
            ""
        } else {
            " (not served yet)"
        };
        format!("  P+{place:<3} {usual:<6} {service:?}{note}")
    };
    let lines: Vec<String> = Service::IN_ORDER.iter().zip(0..).map(line).collect();
    format!("Ports, with --port-base P and without:\n{}", lines.join("\n"))
}

impl Service {
    const IN_ORDER: [(Self, u16); 12] = [
        (Self::Identity, 5000),
        (Self::Swift, 8080),
        (Self::S3, 9000),
        (Self::Metrics, 9100),
        (Self::Image, 9292),
        (Self::Block, 8776),
        (Self::Compute, 8774),
        (Self::Placement, 8778),
        (Self::Network, 9696),
        (Self::Metadata, 8775),
        (Self::Nbd, 10809),
        (Self::Console, 8443),
    ];

    /// The port of this service.
    pub(crate) fn port(self, base: Option<u16>) -> u16 {
        let usual = Self::IN_ORDER.iter().zip(0..).find(|((service, _), _)| *service == self);
        let ((_, port), place) = usual.expect("every service is in the list");
        base.map_or(*port, |base| base.saturating_add(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_base() {
        assert_eq!((Service::S3.port(None), Service::Metrics.port(None)), (9000, 9100));
        assert_eq!((Service::Identity.port(Some(7000)), Service::S3.port(Some(7000))), (7000, 7002));
        assert_eq!((Service::Metrics.port(Some(7000)), Service::Console.port(Some(7000))), (7003, 7011));
    }
}
