# What people and CI run. On a bare Debian machine with a Rust toolchain, each recipe installs what it lacks.

run: # the service on 127.0.0.1:9292, its data under ./fresnel-data
	cargo run --release -- serve

demo: # the whole path in one command
	cargo run --release -- demo

test: # everything that must hold, beside the real parts, which come up while it compiles
	$(MAKE) --jobs=2 built lab
	# They wait as much as they compute: one more at a time than there are cores.
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --workspace --no-fail-fast

built: tools
	cargo fmt --all --check
	cargo test --workspace --all-targets --no-run

# Clippy compiles what is tested. So all that it stands on is compiled once, not once to check and once to run.
test built: export RUSTC_WORKSPACE_WRAPPER = clippy-driver
test built: export CLIPPY_ARGS = -D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

functional: lab # Glance's own functional API tests, as published, against the service
	cargo build
	"$$(tests/lab/venv suites)/bin/python" -W ignore tests/functional/run.py

glare: lab # Glare's own API tests, as published, against artifacts
	cargo build
	"$$(tests/lab/venv glare)/bin/python" -W ignore tests/glare/run.py

tempest: lab # Tempest's image tests and glance-tempest-plugin's, as published, with a real Keystone
	cargo build
	tests/tempest/run

swift: lab # the Swift store on Swift's own servers
	cargo test --test tests store::swift -- --ignored

barbican: lab # signed and encrypted images, with their certificates and keys in a real Barbican
	cargo test --test tests barbican -- --ignored

cinder: lab # images as volumes of a real Cinder, whose back end is Ceph
	cargo test --test tests cinder -- --ignored

imports: lab # imports to several stores, and what is told of images and imports, beside Glance; tokens that end meanwhile
	cargo test --test tests -- --ignored imports events_are_those

reference: lab # what the API's own document promises, asked at length
	cargo test --test tests the_reference_keeps -- --include-ignored

lint: tools # style, and what the machine can see of correctness
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: lab # what the program is for, measured beside its peers (docs/SPECIFICATION.md)
	tests/lab/packages nginx-light wrk
	cargo bench

bench-rbd: lab # the same for images in Ceph
	cargo bench -- rbd-upload rbd-download rbd-memory
	cargo bench --features bench-no-digests -- rbd-no-digests

bench-s3: lab # the same for images in an S3 server
	cargo bench -- s3-upload s3-chunked s3-download
	cargo bench --features bench-no-digests -- s3-no-digests

bench-import: lab # the same for imports
	tests/lab/packages nginx-light
	cargo bench -- import-web import-stores import-convert

bench-cache: lab # the same for the image cache and the node in front of an image service
	tests/lab/packages nginx-light wrk
	cargo bench -- cache-warm cache-cold cache-slow cache-storm cache-ranges

fuzz: tools # every parser of foreign bytes, a minute each
	fuzz/run 60

sanitize: lab # what is unsafe, under Miri and AddressSanitizer (Rust's nightly, with miri and rust-src)
	cargo +nightly miri test -p fresnel-hash
	RUSTFLAGS=-Zsanitizer=address cargo +nightly test $(patsubst native/%,-p fresnel-%,$(wildcard native/*)) \
		--lib --tests --target "$$(rustc --print host-tuple)"

deny: tools # licences, advisories and doubles among the dependencies
	cargo deny --version || cargo install --locked cargo-deny
	cargo deny check

lab: tools # Glance, its clients, Keystone, Ceph, the databases and the message broker, on loopback
	tests/lab/venv
	tests/lab/radosgw-up
	tests/lab/mariadb-up
	tests/lab/postgres-up
	tests/lab/rabbitmq-up
	tests/lab/keystone-up

lab-down: # ends them
	tests/lab/radosgw-down
	tests/lab/ceph-down
	tests/lab/ceph-down --faults
	tests/lab/mariadb-down
	tests/lab/postgres-down
	tests/lab/barbican-down
	tests/lab/cinder-down
	tests/lab/rabbitmq-down
	tests/lab/keystone-down

tools: # what building and testing need beside Rust
	tests/lab/packages build-essential curl perl qemu-utils cryptsetup-bin

.PHONY: run demo test built functional glare tempest swift imports barbican cinder reference lint bench bench-rbd bench-s3 bench-import bench-cache fuzz sanitize deny lab lab-down tools
