//! Retries of store operations: with growing pauses, a limit, and an explicit list of errors that are never retried.

use std::future::Future;
use std::time::Duration;

use object_store::Error;
use rand::Rng;

/// How patient a repository is with its store within one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, at least 1.
    pub attempts: u32,
    /// Pause after the first failure; doubles each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 6, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(5) }
    }
}

/// Errors that say something definite: trying again gives the same answer.
pub fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    ) || is_refused_listing(error)
}

/// The S3 client sorts answers to listings under no kind: that credentials or bucket are wrong stands only in the text.
/// Should the text change, such a listing is retried, which is slower and harms nothing.
fn is_refused_listing(error: &Error) -> bool {
    const FINAL: [&str; 3] = ["401", "403", "404"];
    let Error::Generic { source, .. } = error else { return false };
    let text = source.to_string();
    let Some((_, status)) = text.split_once("status code: ") else { return false };
    FINAL.iter().any(|code| status.starts_with(code))
}

impl RetryPolicy {
    /// Runs `operation` until it succeeds, fails for good, or the attempts are used up.
    pub async fn run<T, F>(&self, what: &str, mut operation: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = self.first_pause;
        for attempt in 1.. {
            match operation().await {
                Err(error) if !is_final(&error) && attempt < self.attempts => {
                    tracing::debug!(what, attempt, %error, "the snapshot store failed, trying again");
                    metrics::counter!(crate::metric_names::RETRIES).increment(1);
                }
                done => return done,
            }
            // Half to all of the pause, so that many clients don't come back at the same moment.
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(self.longest_pause);
        }
        unreachable!("the loop above ends by returning")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cell::Cell;

    fn quick() -> RetryPolicy {
        RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
        }
    }

    fn passing() -> Error {
        Error::Generic { store: "test", source: "connection reset".into() }
    }

    #[tokio::test]
    async fn passing_errors_are_retried_up_to_the_limit() {
        let tries = Cell::new(0);
        let policy = quick();
        let result = policy.run("x", || {
            tries.set(tries.get() + 1);
            let now = tries.get();
            async move { if now < 3 { Err(passing()) } else { Ok(now) } }
        });
        assert_eq!(result.await.unwrap(), 3);
        tries.set(0);
        let result: Result<(), _> = quick()
            .run("x", || {
                tries.set(tries.get() + 1);
                async { Err(passing()) }
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.get(), 4);
    }

    #[tokio::test]
    async fn definite_answers_are_not_retried() {
        let tries = Cell::new(0);
        let result: Result<(), _> = quick()
            .run("x", || {
                tries.set(tries.get() + 1);
                async { Err(Error::AlreadyExists { path: "p".into(), source: "there".into() }) }
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.get(), 1);
    }
}
