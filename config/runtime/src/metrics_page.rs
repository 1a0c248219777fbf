//! The Prometheus page: collects what the parts count through the `metrics` facade and renders it.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Renders `/metrics`.
#[derive(Clone)]
pub struct MetricsPage {
    handle: PrometheusHandle,
}

/// Bounds of all histograms whose names end in `_seconds`: 10 µs to 10 s.
const SECONDS: [f64; 13] = [1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 10.0];

/// Makes this process's recorder the target of the `metrics` facade.
///
/// # Errors
/// When a recorder was set before.
pub fn install() -> Result<MetricsPage, String> {
    let suffix = metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix, &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| format!("cannot start metrics: {e}"))?;
    Ok(MetricsPage { handle })
}

impl MetricsPage {
    /// The page in Prometheus's text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Drains histograms now and then, so that they stay small when nobody scrapes. Runs for ever.
    pub async fn keep_small(self) {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.handle.run_upkeep();
        }
    }
}
