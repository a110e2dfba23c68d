package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log"
	"strings"
	"time"
)

type claims struct {
	Sub string `json:"sub"`
	Sid string `json:"sid"`
	Iss string `json:"iss"`
	Aud string `json:"aud"`
	Nbf int64  `json:"nbf"`
	Exp int64  `json:"exp"`
}

const leeway = 5 // seconds

// The claims of a JWT signed with HS256, and whether it is valid now.
func verified(key []byte, token string) (claims, bool) {
	var found claims
	end := strings.LastIndexByte(token, '.')
	if end < 0 {
		return found, false
	}
	header, payload, ok := strings.Cut(token[:end], ".")
	if !ok {
		return found, false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(token[:end]))
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
		return found, false
	}
	var of struct{ Alg string }
	if !decoded(header, &of) || of.Alg != "HS256" || !decoded(payload, &found) {
		return found, false
	}
	now := time.Now().Unix()
	isNow := found.Nbf <= now+leeway && now < found.Exp+leeway
	return found, isNow && found.Iss == "taskcore" && found.Aud == "taskcore"
}

func decoded(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

func unhex(text string) []byte {
	key, err := hex.DecodeString(text)
	if err != nil {
		log.Fatal(err)
	}
	return key
}
