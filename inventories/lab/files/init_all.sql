-- ChatSystem's tables, as far as the lab's stand-ins use them. As upstream's own: it drops what is there.
DROP TABLE IF EXISTS `message`;
CREATE TABLE `message` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `message_id` VARCHAR(64) NOT NULL UNIQUE,
  `session_id` VARCHAR(64) NOT NULL,
  `content` TEXT,
  `created` TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  KEY `session` (`session_id`)
);
DROP TABLE IF EXISTS `user`;
CREATE TABLE `user` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `user_id` VARCHAR(64) NOT NULL UNIQUE, `nickname` VARCHAR(64));
DROP TABLE IF EXISTS `relation`;
CREATE TABLE `relation` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `user_id` VARCHAR(64), `peer_id` VARCHAR(64));
DROP TABLE IF EXISTS `chat_session`;
CREATE TABLE `chat_session` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `chat_session_id` VARCHAR(64), `chat_session_name` VARCHAR(64));
DROP TABLE IF EXISTS `friend_apply`;
CREATE TABLE `friend_apply` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `user_id` VARCHAR(64), `peer_id` VARCHAR(64));
DROP TABLE IF EXISTS `chat_session_member`;
CREATE TABLE `chat_session_member` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, `session_id` VARCHAR(64), `user_id` VARCHAR(64));
