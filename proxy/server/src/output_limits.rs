//! How much a client may leave unread before it is disconnected (`client-output-buffer-limit`), by class of client.

/// Bounds of one class; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutputLimit {
    /// Bytes that are too many at once.
    pub(crate) hard: u64,
    /// Bytes that are too many for `seconds`.
    pub(crate) soft: u64,
    pub(crate) seconds: u64,
}

/// What a connection that has exceeded its limits is told, which is nothing: it is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Excess {
    /// It may have that much.
    None,
    /// It may, but not for long.
    Soft,
    Hard,
}

impl OutputLimit {
    pub(crate) fn excess(&self, bytes: u64) -> Excess {
        if self.hard > 0 && bytes >= self.hard {
            Excess::Hard
        } else if self.soft > 0 && bytes >= self.soft {
            Excess::Soft
        } else {
            Excess::None
        }
    }
}

/// The bounds of all classes. There are no replicas among the clients: nodes follow the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OutputLimits {
    pub(crate) normal: OutputLimit,
    pub(crate) replica: OutputLimit,
    pub(crate) pubsub: OutputLimit,
}

impl Default for OutputLimits {
    /// Redis's.
    fn default() -> Self {
        let limit =
            |hard: u64, soft: u64, seconds| OutputLimit { hard: hard << 20, soft: soft << 20, seconds };
        Self { normal: limit(0, 0, 0), replica: limit(256, 64, 60), pubsub: limit(32, 8, 60) }
    }
}

impl OutputLimits {
    /// As CONFIG GET shows it.
    pub(crate) fn text(&self) -> String {
        let one =
            |name, limit: &OutputLimit| format!("{name} {} {} {}", limit.hard, limit.soft, limit.seconds);
        [one("normal", &self.normal), one("slave", &self.replica), one("pubsub", &self.pubsub)].join(" ")
    }

    /// These limits with the changes that `text` asks for: a class and three numbers, any number of times.
    ///
    /// # Errors
    /// What is wrong with the text, in Redis's words.
    pub(crate) fn changed(
        mut self,
        text: &[u8],
        bytes: impl Fn(&[u8]) -> Option<i64>,
    ) -> Result<Self, String> {
        let words: Vec<&[u8]> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for four in words.chunks_exact(4) {
            let [class, hard, soft, seconds] = four else { continue };
            let is = |name: &str| class.eq_ignore_ascii_case(name.as_bytes());
            let limit = if is("normal") {
                &mut self.normal
            } else if is("replica") || is("slave") {
                &mut self.replica
            } else if is("pubsub") {
                &mut self.pubsub
            } else {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            };
            let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
            let (hard, soft) = (number(bytes(hard)), number(bytes(soft)));
            let seconds = number(proxy_resp::parse_i64(seconds));
            let (Some(hard), Some(soft), Some(seconds)) = (hard, soft, seconds) else {
                return Err(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.".into()
                );
            };
            *limit = OutputLimit { hard, soft, seconds };
        }
        Ok(self)
    }
}
