//! Makes people up: the same seed and ordinal always give the same contact.
//!
//! Nothing is stored for a generated contact but its ordinal; a value that was edited is kept
//! beside it (see `contacts`). Addresses are all on `.example` domains.

/// Zoho's ids are the organisation's prefix and a counter: 19 digits, above 2^53.
const ORGANISATION: u64 = 5_912_345_000_000_000_000;

/// The id of the only user there is.
pub(crate) const USER_ID: u64 = ORGANISATION + 231_001;

/// The id of the only layout.
pub(crate) const LAYOUT_ID: u64 = ORGANISATION + 91_033;

/// The id of the "All Contacts" view, the only one that `cvid` takes.
pub(crate) const VIEW_ID: u64 = ORGANISATION + 87_501;

/// Where the counter of contacts begins.
pub(crate) const FIRST_CONTACT_ID: u64 = ORGANISATION + 500_001;

const ACCOUNTS_BEGIN: u64 = ORGANISATION + 440_001;

const FIRST_NAMES: [&str; 32] = [
    "Rosa", "Tunde", "Asha", "Mikko", "Ingrid", "Paolo", "Yuki", "Leila", "Oskar", "Amara",
    "Dmitri", "Chloe", "Rafael", "Nadia", "Henrik", "Priya", "Tomas", "Zanele", "Marco", "Sofia",
    "Kwame", "Elif", "Bjorn", "Mei", "Anders", "Fatima", "Lucas", "Hana", "Viktor", "Grace",
    "Emeka", "Lena",
];

const LAST_NAMES: [&str; 32] = [
    "Lindqvist",
    "Okafor",
    "Menon",
    "Virtanen",
    "Berg",
    "Ricci",
    "Tanaka",
    "Haddad",
    "Nilsson",
    "Diallo",
    "Volkov",
    "Moreau",
    "Santos",
    "Karimi",
    "Dahl",
    "Nair",
    "Novak",
    "Dlamini",
    "Conti",
    "Petrova",
    "Mensah",
    "Yilmaz",
    "Sand",
    "Chen",
    "Holm",
    "Rahman",
    "Weber",
    "Sato",
    "Horvat",
    "Owusu",
    "Eze",
    "Fischer",
];

const COMPANIES: [(&str, &str); 16] = [
    ("Fjordline Freight", "fjordline"),
    ("Lagoon Works", "lagoonworks"),
    ("Brightwell Supplies", "brightwell"),
    ("Kestrel Optics", "kestreloptics"),
    ("Harbour Mills", "harbourmills"),
    ("Northgate Tools", "northgatetools"),
    ("Cedar & Stone", "cedarstone"),
    ("Bluepine Travel", "bluepine"),
    ("Orchard Dairy", "orcharddairy"),
    ("Ironleaf Design", "ironleaf"),
    ("Saltmarsh Foods", "saltmarsh"),
    ("Quayside Books", "quayside"),
    ("Windmill Energy", "windmillenergy"),
    ("Copperfield Labs", "copperfield"),
    ("Redwing Couriers", "redwing"),
    ("Meadow Textiles", "meadowtextiles"),
];

const TITLES: [&str; 8] = [
    "Buyer",
    "Head of Sales",
    "Engineer",
    "Office Manager",
    "Founder",
    "Accountant",
    "Operations Lead",
    "Designer",
];

const SOURCES: [&str; 5] = [
    "Trade Show",
    "Web Download",
    "Referral",
    "Cold Call",
    "Partner",
];

const CITIES: [(&str, &str, &str, &str); 8] = [
    ("4 Quay Road", "Leith", "EH6 6AA", "United Kingdom"),
    ("Strandgata 12", "Bergen", "5013", "Norway"),
    ("Kirkkokatu 3", "Oulu", "90100", "Finland"),
    ("Via Roma 81", "Torino", "10121", "Italy"),
    ("Hafenstrasse 9", "Kiel", "24103", "Germany"),
    ("Rue du Port 22", "Nantes", "44000", "France"),
    ("Marina Road 7", "Lagos", "101241", "Nigeria"),
    ("Long Street 150", "Cape Town", "8001", "South Africa"),
];

/// A generated contact's own values.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) email: String,
    pub(crate) phone: Option<String>,
    pub(crate) mobile: Option<String>,
    pub(crate) account: (&'static str, u64),
    pub(crate) title: &'static str,
    pub(crate) lead_source: &'static str,
    pub(crate) born: String,
    pub(crate) street: &'static str,
    pub(crate) city: &'static str,
    pub(crate) zip: &'static str,
    pub(crate) country: &'static str,
}

impl Person {
    pub(crate) fn generate(seed: u64, ordinal: u32) -> Self {
        let mut dice = Dice::new(seed, ordinal, Purpose::Person);
        let first_name = dice.pick(&FIRST_NAMES);
        let last_name = dice.pick(&LAST_NAMES);
        let company = dice.below(COMPANIES.len() as u64);
        let (company_name, domain) = COMPANIES[company as usize];
        let (street, city, zip, country) = dice.pick(&CITIES);
        let number = dice.below(10_000);
        Self {
            first_name,
            last_name,
            email: format!(
                "{}.{}{}@{domain}.example",
                first_name.to_lowercase(),
                last_name.to_lowercase(),
                ordinal + 1
            ),
            phone: (dice.below(4) > 0).then(|| format!("+47 555 {number:04}")),
            mobile: (dice.below(3) > 0).then(|| format!("+44 7700 90{number:04}")),
            account: (company_name, ACCOUNTS_BEGIN + company),
            title: dice.pick(&TITLES),
            lead_source: dice.pick(&SOURCES),
            born: format!(
                "{}-{:02}-{:02}",
                1955 + dice.below(50),
                1 + dice.below(12),
                1 + dice.below(28)
            ),
            street,
            city,
            zip,
            country,
        }
    }
}

/// What a roll is for, so that one contact's rolls do not follow from another's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Person = 1,
    Times = 2,
    Id = 3,
}

/// A small deterministic generator (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, ordinal: u32, purpose: Purpose) -> Self {
        let lane = (u64::from(ordinal) << 8) | purpose as u64;
        let mut dice = Self(seed ^ lane.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.roll();
        dice
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `end`; 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        from[self.below(N as u64) as usize]
    }
}
