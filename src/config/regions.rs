//! The regions of AWS, of all partitions.

/// From the partition data of the SDKs (`partitions.json` of AWS CLI 1.46), without pseudo-regions such as `aws-global`.
const REGIONS: [&str; 46] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// Whether this is a region of AWS that this version knows.
pub(super) fn is_known(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// The partition, by the prefix of the region, from the partition data of the SDKs (`partitions.json`, `regionRegex`).
pub fn partition(region: &str) -> &'static str {
    // Assumption A38.
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// A region of the partition.
pub(super) fn of_partition(of: &str) -> Option<&'static str> {
    /// The region that most examples are about.
    const USUAL: &str = "us-east-1";
    std::iter::once(USUAL).chain(REGIONS).find(|region| partition(region) == of)
}

/// The region that was probably intended; `None` if none is similar.
pub(super) fn nearest(written: &str) -> Option<&'static str> {
    /// More changed letters are another word.
    const MOST_CHANGES: usize = 2;
    let distance = |region: &&str| strsim::damerau_levenshtein(region, written);
    let nearest = REGIONS.into_iter().min_by_key(distance)?;
    (distance(&nearest) <= MOST_CHANGES).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::aws::has_shape;

    #[test]
    fn every_region_has_the_shape_of_one_and_a_partition() {
        assert!(REGIONS.is_sorted());
        assert!(REGIONS.into_iter().all(has_shape));
        for (region, of) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert!(is_known(region), "{region}");
            assert_eq!(partition(region), of);
        }
    }

    #[test]
    fn a_misspelt_region_has_a_nearest_one() {
        assert_eq!(nearest("eu-centrl-1"), Some("eu-central-1"));
        assert_eq!(nearest("us-esat-1"), Some("us-east-1"));
        assert_eq!(nearest("mars-east-1"), None);
    }
}
