//! Latencies in buckets: constant memory, and a percentile that is at most 1/32 too high.

const SUB_BITS: u32 = 5;
const SUBS: usize = 1 << SUB_BITS;

/// Counts of values; small ones exactly, large ones within 1/32.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; (64 - SUB_BITS as usize + 1) * SUBS], count: 0, max: 0 }
    }
}

fn bucket_of(value: u64) -> usize {
    if value < SUBS as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    (shift as usize + 1) * SUBS + ((value >> shift) as usize - SUBS)
}

/// The largest value of a bucket.
fn top_of(bucket: usize) -> u64 {
    if bucket < SUBS {
        return bucket as u64;
    }
    let shift = bucket / SUBS - 1;
    (((SUBS + bucket % SUBS) as u64) << shift) | ((1 << shift) - 1)
}

impl Histogram {
    pub fn add(&mut self, value: u64) {
        self.buckets[bucket_of(value)] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `percent` of all values do not exceed; 0 when there are none.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (self.count as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return top_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_near_it() {
        for value in (0..5000).chain((12..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1])).chain([u64::MAX])
        {
            let top = top_of(bucket_of(value));
            assert!(top >= value && top - value <= value / 32, "{value} in a bucket up to {top}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        for value in 1..=1000 {
            histogram.add(value);
        }
        assert!((500..=516).contains(&histogram.percentile(50.0)));
        assert!((990..=1000).contains(&histogram.percentile(99.0)));
        assert_eq!((histogram.percentile(100.0), histogram.max(), histogram.count), (1000, 1000, 1000));
    }
}
