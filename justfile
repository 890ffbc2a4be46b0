# Short names for the commands of this repository. `just` lists them. Nothing depends on this file: CI calls .ci/run.

# List the recipes.
default:
    @just --list --unsorted

# Check formats, words and types, without running a test.
check: words
    cargo fmt --all --check
    cargo check --workspace --all-targets --locked

# Run the tests; with a name, the tests of tests/it that contain it.
test *name:
    cargo test --locked {{ if name == "" { "--workspace" } else { "--test it " + name } }}

# Run the lints as CI does.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Format the code.
format:
    cargo fmt --all

# Look for words that readers stumble over, in these files or in all of them.
words *paths:
    python3 .ci/words.py --self-test
    python3 .ci/words.py {{ paths }}

# Build the documentation of the public and the private items, without warnings.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

# Write config/gateway.schema.json and docs/CONFIGURATION.md, after a change of the configuration.
schema:
    cargo run --quiet --locked -- schema > target/gateway.schema.json
    cargo run --quiet --locked -- schema --format markdown > target/CONFIGURATION.md
    mv target/gateway.schema.json config/gateway.schema.json
    mv target/CONFIGURATION.md docs/CONFIGURATION.md

# Write config/issuers/*.explain.txt, after a change of `explain` or of a starting point.
explained:
    UPDATE_EXPECTED=1 cargo test --locked --test it explain

# Run the quickstart; with `--serve` it keeps running.
quickstart *arguments:
    cargo run --locked --example quickstart -- {{ arguments }}

# Call the gateway with clients of other languages; with a group, only that group.
clients *group:
    tests/clients/run {{ group }}

# Flood the gateway at full size and print the memory that each abuse takes.
abuse:
    ABUSE=full cargo test --release --locked --test abuse -- --nocapture

# Run faults under load for this many minutes.
soak minutes="30":
    cargo test --release --locked --test soak -- --minutes {{ minutes }}

# Fuzz these targets, or all of them, for SECONDS_EACH seconds each.
fuzz *targets:
    tests/fuzz/run {{ targets }}

# Measure beside nginx and print the table of docs/SPEED.md: about 25 minutes.
bench *arguments:
    cargo bench --locked --bench rig -- {{ arguments }}

# Count the instructions of a request against benches/instructions.toml.
instructions *arguments:
    cargo bench --locked --bench rig -- instructions {{ arguments }}

# Check licences and banned crates, without further tools.
dependencies:
    python3 .ci/dependencies.py

# Check licences, banned crates and advisories; needs cargo-deny.
deny:
    cargo deny --locked check

# Build the binary to deploy: target/dist/bedrock-gateway.
dist:
    cargo build --locked --profile dist

# Build the documentation to target/site and check it in Chromium; with `build` only its links.
site *build:
    .ci/site/run {{ build }}

# Type the commands of docs/GETTING-STARTED.md in a fresh clone.
getting-started:
    .ci/getting-started/run

# Build the container image in target/container, and run the gateway out of it.
image:
    .ci/container/run

# Run everything that must hold before a change lands: up to 50 minutes.
ci:
    .ci/run
