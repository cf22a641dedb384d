BEGIN TRANSACTION;
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	key_id VARCHAR(40), 
	action VARCHAR(60) NOT NULL, 
	target VARCHAR(80), 
	detail JSON, 
	PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,1.79587439554198074337e+09,NULL,'key.made','key_58e4a93abcd21abb1cb4b638','{"scopes": ["read", "videos"]}');
CREATE TABLE characters (
	id VARCHAR(40) NOT NULL, 
	key_id VARCHAR(40) NOT NULL, 
	created_at FLOAT NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	looks VARCHAR(120) NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE deliveries (
	id VARCHAR(40) NOT NULL, 
	webhook VARCHAR(40) NOT NULL, 
	body TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	next_at FLOAT NOT NULL, 
	done_at FLOAT, 
	PRIMARY KEY (id)
);
CREATE TABLE facts (
	name VARCHAR(40) NOT NULL, 
	value JSON NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "facts" VALUES('format',1);
INSERT INTO "facts" VALUES('store','"668ac3992ec78365ba119abe"');
CREATE TABLE files (
	id VARCHAR(40) NOT NULL, 
	key_id VARCHAR(40) NOT NULL, 
	created_at FLOAT NOT NULL, 
	filename VARCHAR(200) NOT NULL, 
	bytes BIGINT NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	frames INTEGER NOT NULL, 
	fps FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE jobs (
	id VARCHAR(40) NOT NULL, 
	key_id VARCHAR(40) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	paused BOOLEAN NOT NULL, 
	cancelled BOOLEAN NOT NULL, 
	deleted_at FLOAT, 
	created_at FLOAT NOT NULL, 
	started_at FLOAT, 
	completed_at FLOAT, 
	expires_at FLOAT, 
	model VARCHAR(200) NOT NULL, 
	prompt TEXT NOT NULL, 
	seconds VARCHAR(16) NOT NULL, 
	size VARCHAR(16) NOT NULL, 
	request JSON NOT NULL, 
	sources JSON NOT NULL, 
	remixed_from VARCHAR(40), 
	priority INTEGER NOT NULL, 
	place FLOAT NOT NULL, 
	shape VARCHAR(200), 
	pixel_seconds FLOAT NOT NULL, 
	progress FLOAT NOT NULL, 
	stage VARCHAR(40) NOT NULL, 
	attempts INTEGER NOT NULL, 
	not_before FLOAT NOT NULL, 
	worker VARCHAR(80), 
	lease_until FLOAT, 
	fence INTEGER NOT NULL, 
	artifact VARCHAR(80), 
	bytes BIGINT, 
	took_s FLOAT, 
	frames INTEGER, 
	has_state BOOLEAN NOT NULL, 
	settings JSON, 
	mark VARCHAR(16), 
	error_code VARCHAR(60), 
	error_message TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('video_77d79a4a2509d7cf8696a60b','key_58e4a93abcd21abb1cb4b638','generate','failed',0,1,NULL,1.79587439555598211288e+09,NULL,1.79587439576398730277e+09,1.79846639555598211291e+09,'kinema-tiny','a red ball, take 0; it''s 100% round','1','32x32','{"seed": 1}','[]',NULL,0,1024.0,'same',1024.0,0.0,'cancelled',0,0.0,NULL,NULL,1,NULL,NULL,NULL,NULL,0,NULL,NULL,'cancelled','cancelled by its owner');
INSERT INTO "jobs" VALUES('video_cc6bba6bd1b269a8b6e0032a','key_58e4a93abcd21abb1cb4b638','generate','queued',0,0,NULL,1.79587439559601402287e+09,NULL,NULL,1.79846639559601402286e+09,'kinema-tiny','a red ball, take 1; it''s 100% round','1','32x32','{"seed": 1}','[]',NULL,1,2048.0,'same',1024.0,0.0,'waiting',0,0.0,NULL,NULL,0,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('video_a817c781ffccca1078cd7b00','key_58e4a93abcd21abb1cb4b638','generate','in_progress',0,0,NULL,1.79587439567000269891e+09,1.7958743957499861717e+09,NULL,1.79846639567000269894e+09,'kinema-tiny','a red ball, take 2; it''s 100% round','1','32x32','{"seed": 1}','[]',NULL,2,3072.0,'same',1024.0,0.0,'starting',1,0.0,'w',1.79587445574998617178e+09,1,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('video_2102c3167765339a51b9f756','key_58e4a93abcd21abb1cb4b638','generate','completed',0,0,NULL,1.79587439567800903322e+09,1.79587439569398164751e+09,1.79587439573300790785e+09,1.79846639573300790784e+09,'kinema-tiny','a red ball, take 3; it''s 100% round','1','32x32','{"seed": 1}','[]',NULL,3,4096.0,'same',1024.0,100.0,'completed',1,0.0,NULL,NULL,1,'1',10,0.5,4,0,'{}','00',NULL,NULL);
CREATE TABLE keys (
	id VARCHAR(40) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	prefix VARCHAR(16) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT, 
	revoked_at FLOAT, 
	last_used_at FLOAT, 
	quota FLOAT, 
	rate INTEGER, 
	concurrency INTEGER, 
	used FLOAT NOT NULL, 
	reserved FLOAT NOT NULL, 
	served FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (digest)
);
INSERT INTO "keys" VALUES('key_58e4a93abcd21abb1cb4b638','me','kinema_ShR8','db8b96a9d1b7995eb3ebfa8377b4e4c163ef11d3551ff29ccba072f5a7fda40f','["read", "videos"]',1.79587439554198074337e+09,NULL,NULL,NULL,NULL,NULL,NULL,1024.0,2048.0,2048.0);
CREATE TABLE ledger (
	id INTEGER NOT NULL, 
	key_id VARCHAR(40) NOT NULL, 
	at FLOAT NOT NULL, 
	job VARCHAR(40) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	pixel_seconds FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "ledger" VALUES(1,'key_58e4a93abcd21abb1cb4b638',1.79587439555598211288e+09,'video_77d79a4a2509d7cf8696a60b','reserve',1024.0);
INSERT INTO "ledger" VALUES(2,'key_58e4a93abcd21abb1cb4b638',1.79587439559601402287e+09,'video_cc6bba6bd1b269a8b6e0032a','reserve',1024.0);
INSERT INTO "ledger" VALUES(3,'key_58e4a93abcd21abb1cb4b638',1.79587439567000269891e+09,'video_a817c781ffccca1078cd7b00','reserve',1024.0);
INSERT INTO "ledger" VALUES(4,'key_58e4a93abcd21abb1cb4b638',1.79587439567800903322e+09,'video_2102c3167765339a51b9f756','reserve',1024.0);
INSERT INTO "ledger" VALUES(5,'key_58e4a93abcd21abb1cb4b638',1.79587439573300790785e+09,'video_2102c3167765339a51b9f756','settle',1024.0);
INSERT INTO "ledger" VALUES(6,'key_58e4a93abcd21abb1cb4b638',1.79587439576398730277e+09,'video_77d79a4a2509d7cf8696a60b','refund',1024.0);
CREATE TABLE repeats (
	key_id VARCHAR(40) NOT NULL, 
	token VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	job VARCHAR(40) NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (key_id, token)
);
CREATE TABLE speeds (
	model VARCHAR(200) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	per_pixel_second FLOAT NOT NULL, 
	PRIMARY KEY (model, kind)
);
CREATE TABLE webhooks (
	id VARCHAR(40) NOT NULL, 
	key_id VARCHAR(40) NOT NULL, 
	created_at FLOAT NOT NULL, 
	url TEXT NOT NULL, 
	events JSON NOT NULL, 
	secret VARCHAR(80) NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE workers (
	id VARCHAR(80) NOT NULL, 
	seen_at FLOAT NOT NULL, 
	warm JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "workers" VALUES('w',1.7958743957499861717e+09,'[]');
CREATE INDEX jobs_to_do ON jobs (status, key_id, priority, place);
CREATE INDEX jobs_by_mark ON jobs (mark);
CREATE INDEX jobs_of_key ON jobs (key_id, created_at, id);
CREATE INDEX ledger_of_key ON ledger (key_id, id);
CREATE INDEX deliveries_due ON deliveries (done_at, next_at);
COMMIT;
